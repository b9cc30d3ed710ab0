"""The service: admits, validates, dispatches and records every request, whatever its protocol."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from inference.conf import Conf
from inference.errors import Cancelled, InferenceError, Internal, PayloadTooLarge, WorkerLost
from inference.messaging.messages import Generation, Token
from inference.observability.metrics import Metrics
from inference.request_log.writer import RequestLog
from inference.scheduling.admission import Admission
from inference.scheduling.calls import Answer, Events, Superseded, Work
from inference.scheduling.dispatcher import Dispatcher
from inference.scheduling.versions import describe
from inference.serving import validation
from inference.serving.bug import log_bug
from inference.serving.context import RequestContext
from inference.serving.generation_result import GenerationResult
from inference.serving.metrics import read_metrics
from inference.serving.progress import Progress
from inference.serving.query import Query
from inference.serving.record import Recorder, RequestRecord
from inference.serving.result import RequestResult

logger = logging.getLogger(__name__)

LAST_ANSWERS_S = 1.0
"""Time for the requests that a drain gave up to get their error."""
SILENT = Progress()


class Service:
    """One per web process; lives on the dispatcher's event loop."""

    def __init__(self, conf: Conf, dispatcher: Dispatcher, request_log: RequestLog, *, embedded: bool = False) -> None:
        self.conf = conf
        self.dispatcher = dispatcher
        self.admission = Admission(dispatcher, conf, embedded=embedded)
        self.metrics = Metrics(partial(read_metrics, self.admission, dispatcher, request_log))
        self.draining = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        self._recorder = Recorder(conf, self.metrics, request_log)
        self._open = 0
        self._closed = asyncio.Event()

    async def answer(
        self, context: RequestContext, read: Callable[[], Query], progress: Progress = SILENT
    ) -> RequestResult:
        """Answer one request. ``read`` makes the query; an error that it raises is the request's.

        Cancel the calling task when the client disconnects: its jobs are cancelled and its permits released at once.

        Raises:
            InferenceError: what to tell the client.
        """
        error: InferenceError | None = None
        record = RequestRecord(context)
        self._open += 1
        try:
            return await self._run(record, read, progress)
        except InferenceError as raised:
            error = raised
            raise
        except asyncio.CancelledError:
            error = Cancelled("The client cancelled the request or went away.")
            raise
        except Exception as unexpected:
            error = log_bug(unexpected, context.id, context.traceparent)
            raise error from None
        finally:
            self._open -= 1
            if not self._open:
                self._closed.set()
            self._record(record, error)

    def refused(self, context: RequestContext, error: InferenceError) -> None:
        """Record a request that was refused before ``answer``."""
        self._record(RequestRecord(context), error)

    def unready(self) -> str:
        """Why a request would not be served now; empty if it would."""
        if (refusal := self.admission.refusal_reason()) is not None:
            return f"{refusal.reason}."
        if not self.dispatcher.layer_works:
            return "The channel layer does not answer."
        if not self.dispatcher.registry.serving():
            return "No worker is ready; the model is still loading or no worker runs."
        return ""

    def different(self) -> str:
        """What is served, where ready workers do not all serve the same; empty where they do."""
        registry = self.dispatcher.registry
        if not (others := registry.other_versions()):
            return ""
        ignored = ", ".join(sorted({describe(worker.description) for worker in others}))
        return (
            f"Workers serve different models. Requests go to {describe(registry.description)}, "
            f"{len(registry.serving())} ready; none go to {ignored}, {len(others)} ready."
        )

    async def drain(self, timeout_s: float) -> None:
        """Refuse new requests and wait for the accepted ones; those that are left after ``timeout_s`` get an error."""
        self.admission.draining = True
        self.draining.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self._all_closed()
        except TimeoutError:
            logger.warning("%d requests had no answer after %g s", self._open, timeout_s)
            self.dispatcher.fail_all(lambda: Internal("The server stopped before the model had answered."))
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_ANSWERS_S):
                    await self._all_closed()

    async def _all_closed(self) -> None:
        while self._open:
            self._closed.clear()
            await self._closed.wait()

    def _record(self, record: RequestRecord, error: InferenceError | None) -> None:
        record.description = record.description or self.dispatcher.registry.description
        self._recorder.record(record, error)

    async def _run(self, record: RequestRecord, read: Callable[[], Query], progress: Progress) -> RequestResult:
        peer = record.context.peer
        self.admission.check(1, peer, self.conf.max_deadline_s)  # before the body is parsed
        query = record.query = read()
        validation.validate_number(query.inputs)
        with self.admission.permits(len(query.inputs), peer, query.deadline_s):
            record.answers = await self._answers(record, query, progress)
        outputs = [answer.result.output for answer in record.answers]
        _finish(record.generation, record.answers[0].result.generation)
        self._check_size(sum(map(len, outputs)))
        return RequestResult(query=query, outputs=outputs, times=record.times(), generation=record.generation)

    async def _answers(self, record: RequestRecord, query: Query, progress: Progress) -> list[Answer]:
        """Run an admitted request, again with the next model where the one it was validated for has been replaced."""
        admitted_at = self.loop.time()
        deadline_at = admitted_at + (query.deadline_s or self.conf.deadline_s)
        admitted = False
        while True:
            work = await self._validated(record, query, admitted_at, deadline_at)
            if not admitted:
                admitted = True
                progress.admitted()
            try:
                return await self.dispatcher.run(work, _events(record.generation, query, progress))
            except Superseded:
                if record.generation is not None and record.generation.tokens:
                    raise WorkerLost("The model was replaced while it generated this text; ask again.") from None

    async def _validated(self, record: RequestRecord, query: Query, admitted_at: float, deadline_at: float) -> Work:
        """The work for the model that is served now. Waits for the first worker."""
        context = record.context
        description = record.description = await self.dispatcher.description(deadline_at)
        validation.validate_inputs(description, query.inputs)
        parameters = validation.validate_parameters(description, query.parameters)
        if query.tokens_for is not None:
            validation.validate_tokens(description, query.tokens_for, many=query.many)
            record.generation = GenerationResult(
                given=query.inputs[0], began=context.started_at, seed=parameters.get("seed")
            )
        return Work(
            request_id=context.id,
            inputs=query.inputs,
            parameters=parameters,
            admitted_at=admitted_at,
            deadline_at=deadline_at,
            peer=context.peer,
            traceparent=context.traceparent,
            version=description.version,
        )

    def _check_size(self, size: int) -> None:
        if size > self.conf.max_reply_bytes:
            limit = self.conf.max_reply_bytes
            raise PayloadTooLarge(f"The answer has {size} bytes, {limit} are allowed; send fewer or shorter inputs.")


def _events(generation: GenerationResult | None, query: Query, progress: Progress) -> Events:
    started = progress.started if progress.wants_started else None
    if generation is None:
        return Events(started)

    def take(token: Token) -> None:
        generation.take(token)
        if query.stream:
            progress.token(token, generation)

    return Events(started, take)


def _finish(result: GenerationResult | None, generation: Generation | None) -> None:
    if result is not None and generation is not None:
        result.finish(generation)
