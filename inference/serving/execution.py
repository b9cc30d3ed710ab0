"""Runs an admitted request: validates it for the model that is served, and sends it to workers."""

import asyncio
from typing import Any

from inference.conf import Conf
from inference.errors import InferenceError, WorkerLost
from inference.scheduling.calls import Answer, Superseded, Work
from inference.scheduling.dispatcher import Dispatcher
from inference.serving import validation
from inference.serving.events import events_of, generations_of
from inference.serving.progress import Progress
from inference.serving.query import Query
from inference.serving.record import RequestRecord
from inference.serving.result import Served
from inference.tasks import TASKS


class Execution:
    """One per service."""

    def __init__(self, conf: Conf, dispatcher: Dispatcher) -> None:
        self._conf = conf
        self._dispatcher = dispatcher

    async def answers(self, record: RequestRecord, query: Query, progress: Progress) -> list[Answer | InferenceError]:
        """Run an admitted request, again with the next model where the one it was validated for has been replaced.

        An error takes the place of an answer only where a part of them is wanted.
        """
        admitted_at = asyncio.get_running_loop().time()
        record.admitted_ms = record.context.elapsed_ms()
        deadline_at = admitted_at + (query.deadline_s or self._conf.deadline_s)
        admitted = False
        while True:
            checked, work = await self._validated(record, query, admitted_at, deadline_at)
            record.served = Served(record.pipeline, work.version)
            events = events_of(record, query, progress, None if admitted else progress.admitted)
            admitted = True
            try:
                answers = iter(await self._dispatcher.run(work, events)) if work.inputs else iter(())
                return [
                    value if isinstance(value, InferenceError) else next(answers)
                    for value in checked
                    for _ in range(query.choices)
                ]
            except Superseded:
                if any(generation.tokens for generation in record.generations):
                    raise WorkerLost("The model was replaced while it generated this text; ask again.") from None

    async def _validated(
        self, record: RequestRecord, asked: Query, admitted_at: float, deadline_at: float
    ) -> tuple[list[Any], Work]:
        """The checked inputs, errors among them where a part is wanted, and the work for the model that is served now.

        Waits for the first worker.
        """
        context = record.context
        description = record.description = await self._dispatcher.description(deadline_at, record.pipeline)
        query = record.query = asked.adapted(description)
        partial = query.partial and query.many
        parameters = validation.validate_parameters(description, query.parameters)
        record.seed = parameters.get("seed")
        checked = await validation.checked_inputs(
            description, query.inputs, parameters, self._conf.max_media_bytes, partial=partial
        )
        if query.tokens_for is not None:
            validation.validate_tokens(description, query.tokens_for)
            record.generations = generations_of(query, parameters, TASKS[description.task], context)
        work = Work(
            request_id=context.id,
            inputs=[value for value in checked if not isinstance(value, InferenceError)],
            parameters=parameters,
            choices=query.choices,
            partial=partial,
            arrays=query.arrays,
            admitted_at=admitted_at,
            deadline_at=deadline_at,
            pipeline=record.pipeline,
            peer=context.peer,
            traceparent=context.traceparent,
            version=description.version,
            cache_scope=context.principal.owner,
        )
        return checked, work
