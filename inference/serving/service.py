"""The service: admits, validates, dispatches and records every request, whatever its protocol."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import lru_cache, partial

from inference.access.checking import Access
from inference.access.limits import LimitCounters
from inference.access.open_work import KeyUse
from inference.access.principal import ANYONE, Principal
from inference.access.request_use import UNLIMITED, RequestUse
from inference.access.wrong_keys import TooManyWrongKeys
from inference.catalog import Catalog
from inference.conf import Conf
from inference.errors import (
    Cancelled,
    Forbidden,
    InferenceError,
    Internal,
    Invalid,
    NotFound,
    PayloadTooLarge,
)
from inference.messaging.messages import Description
from inference.models import InferenceRequest
from inference.observability.metrics import Metrics
from inference.request_log.writer import RequestLog
from inference.scheduling.admission import Admission
from inference.scheduling.calls import Answer, Peer
from inference.scheduling.dispatcher import Dispatcher
from inference.scheduling.versions import describe
from inference.serving import validation
from inference.serving.bug import log_bug
from inference.serving.context import RequestContext
from inference.serving.deployment import Deployment, PartOfDeployment
from inference.serving.execution import Execution
from inference.serving.metrics import read_metrics
from inference.serving.pipeline_state import PipelineState, state_of
from inference.serving.progress import Progress
from inference.serving.query import Query
from inference.serving.recent_errors import RecentErrors
from inference.serving.record import Recorder, RequestRecord
from inference.serving.result import Outcome, RequestResult
from inference.serving.units import MeanUnits, units_of

logger = logging.getLogger(__name__)

LAST_ANSWERS_S = 1.0
"""Time for the requests that a drain gave up to get their error."""
SILENT = Progress()


class Service:
    """One per web process; lives on the dispatcher's event loop."""

    def __init__(
        self, conf: Conf, catalog: Catalog, dispatcher: Dispatcher, request_log: RequestLog, *, embedded: bool = False
    ) -> None:
        self.conf = conf
        self.catalog = catalog
        self.access = Access(conf)
        self.dispatcher = dispatcher
        self.request_log = request_log
        self._execution = Execution(conf, dispatcher)
        self.admissions = {
            spec.name: Admission(dispatcher.pipelines[spec.name], spec.conf, embedded=embedded) for spec in catalog
        }
        """By the name of the pipeline."""
        self.limits = LimitCounters()
        self.metrics = Metrics(
            partial(read_metrics, self.admissions, dispatcher, request_log, self.limits), catalog.names
        )
        self.draining = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        self._mean_units = MeanUnits()
        self._recorder = Recorder(conf, self.metrics, request_log)
        self._part = lru_cache(maxsize=256)(self._part_of)
        self._open = 0
        self._closed = asyncio.Event()

    @property
    def recent_errors(self) -> RecentErrors:
        """The last refusals and errors."""
        return self._recorder.recent_errors

    @property
    def pending_inputs(self) -> int:
        """Inputs of all pipelines, admitted and not yet answered."""
        return sum(admission.pending_inputs for admission in self.admissions.values())

    def admission(self, pipeline: str | None = None) -> Admission:
        """Of the pipeline with this name, by default that of the catalog's default."""
        return self.admissions[pipeline or self.catalog.default.name]

    def seen_by(self, principal: Principal) -> Deployment:
        """The deployment with the pipelines that a caller may use. Raises ``Forbidden`` if there is none of them."""
        return self._part(principal.pipelines) if principal.pipelines else self

    def _part_of(self, names: frozenset[str]) -> Deployment:
        catalog = self.catalog.only(names)
        if catalog is None:
            raise Forbidden("This key may use none of the pipelines that are served here.")
        return PartOfDeployment(self, catalog)

    def most_body_bytes(self, pipeline: str | None = None, seen: Catalog | None = None) -> int:
        """Size of a body or frame for a pipeline; without a name, for any of them that the caller sees."""
        if pipeline is None:
            return max(map(self.most_body_bytes, (seen or self.catalog).names))
        description, spec = self.dispatcher.pipelines[pipeline].description, self.catalog.find(pipeline)
        assert spec is not None  # noqa: S101 - the dispatcher has the pipelines of the catalog
        return spec.most_body_bytes(description.task if description else "")

    async def answer(
        self,
        context: RequestContext,
        read: Callable[[], Query | Awaitable[Query]],
        progress: Progress = SILENT,
        pipeline: str | None = None,
    ) -> RequestResult:
        """Answer one request. ``read`` makes the query; an error that it raises is the request's.

        Cancel the calling task when the client disconnects: its jobs are cancelled and its permits released at once.

        Args:
            pipeline: name of the pipeline, where it is known before the query is read.

        Raises:
            InferenceError: what to tell the client.
        """
        error: InferenceError | None = None
        record = RequestRecord(context)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        use: KeyUse | None = None
        self._open += 1
        try:
            use = self.access.use(context.principal, task.cancel)
            return await self._run(record, read, progress, pipeline)
        except InferenceError as raised:
            error = raised
            raise
        except asyncio.CancelledError:
            if use is not None and use.error is not None and not task.uncancel():
                error = use.error
                raise error from None
            error = Cancelled("The client cancelled the request or went away.")
            raise
        except Exception as unexpected:
            error = log_bug(unexpected, context.id, context.traceparent)
            raise error from None
        finally:
            if use is not None:
                use.end()
            self._open -= 1
            if not self._open:
                self._closed.set()
            self._record(record, error)

    def refused(self, context: RequestContext, error: InferenceError, pipeline: str = "") -> None:
        """Record a request that was refused before ``answer``; ``pipeline`` is the name, where that is known.

        Who tries many wrong keys has rows for the first of them; the others are counted in the metrics.
        """
        if isinstance(error, TooManyWrongKeys):
            status = InferenceRequest.Status.REFUSED
            self.metrics.count(pipeline, context.transport, status, error.code, context.elapsed_ms())
        else:
            self._record(RequestRecord(context, pipeline), error)

    def unready(self, pipeline: str | None = None) -> str:
        """Why a request to a pipeline would not be served now; empty if it would.

        Without a name: why no pipeline would serve one.
        """
        if self.access.unready:
            return self.access.unready
        if pipeline is None:
            reasons = [self.unready(name) for name in self.catalog.names]
            return reasons[0] if all(reasons) else ""
        if (refusal := self.admissions[pipeline].refusal_reason()) is not None:
            return f"{refusal.reason}."
        if not self.dispatcher.layer_works:
            return "The channel layer does not answer."
        if not self.dispatcher.pipelines[pipeline].serving():
            return "No worker is ready; the model is still loading or no worker runs."
        return ""

    def description(self, pipeline: str) -> Description | None:
        """Of what its workers serve; ``None`` while there was no worker."""
        return self.dispatcher.pipelines[pipeline].description

    def states(self) -> list[PipelineState]:
        """Of all pipelines, in the order of the catalog."""
        return [state_of(spec, self.dispatcher.pipelines[spec.name]) for spec in self.catalog]

    def different(self, pipeline: str | None = None) -> str:
        """What is served, where ready workers of a pipeline do not all serve the same; empty where they do.

        Without a name: of all pipelines.
        """
        if pipeline is None:
            return " ".join(filter(None, map(self.different, self.catalog.names)))
        served = self.dispatcher.pipelines[pipeline]
        if not (others := served.other_versions()):
            return ""
        ignored = ", ".join(sorted({describe(worker.description) for worker in others}))
        return (
            f"Workers serve different models. Requests go to {describe(served.description)}, "
            f"{len(served.serving())} ready; none go to {ignored}, {len(others)} ready."
        )

    async def drain(self, timeout_s: float) -> None:
        """Refuse new requests and wait for the accepted ones; those that are left after ``timeout_s`` get an error."""
        for admission in self.admissions.values():
            admission.draining = True
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
        if record.pipeline and record.description is None:
            record.description = self.dispatcher.pipelines[record.pipeline].description
        self._recorder.record(record, error)

    async def _run(
        self,
        record: RequestRecord,
        read: Callable[[], Query | Awaitable[Query]],
        progress: Progress,
        pipeline: str | None,
    ) -> RequestResult:
        peer, principal = record.context.peer, record.context.principal
        catalog = self.seen_by(principal).catalog
        if pipeline is not None:
            if not principal.may_use(pipeline):
                raise NotFound(no_pipeline(catalog, pipeline))
            record.pipeline = pipeline
        if (refusing := self.refusing(pipeline, peer, self.conf.max_deadline_s, principal)) is not None:
            refusing.check(1, peer, self.conf.max_deadline_s)  # before the body is parsed
        with self.limits.begin(record.context.principal) as used:
            try:
                return await self._limited(record, read, progress, pipeline, used)
            finally:
                if used is not UNLIMITED:
                    used.settle(record.units())

    async def _limited(
        self,
        record: RequestRecord,
        read: Callable[[], Query | Awaitable[Query]],
        progress: Progress,
        pipeline: str | None,
        used: RequestUse,
    ) -> RequestResult:
        """A request that is within the limits of its key so far."""
        peer = record.context.peer
        made = read()
        query = record.query = self._in_time(made if isinstance(made, Query) else await made, record.context)
        record.pipeline = _asked(self.seen_by(record.context.principal).catalog, query, pipeline)
        validation.validate_number(query.inputs)
        number, admission = len(query.inputs) * query.choices, self.admissions[record.pipeline]
        used.take(number, self._mean_units.expected(record.pipeline, number))
        with admission.permits(number, peer, query.deadline_s, query.inputs) as prompts:
            answers = await self._execution.answers(record, query, progress)
        record.answers = [answer for answer in answers if isinstance(answer, Answer)]
        read_ms = sum(answer.result.generation.reading_ms for answer in record.answers if answer.result.generation)
        self.dispatcher.pipelines[record.pipeline].reading.learn(prompts, read_ms / 1000)
        record.failed = [error for error in answers if isinstance(error, InferenceError)]
        if used is not UNLIMITED:
            self._mean_units.learn(record.pipeline, (units_of(answer.result) for answer in record.answers))
        self._check_size(sum(len(answer.result.output) for answer in record.answers))
        assert record.query is not None and record.description is not None  # noqa: S101, PT018 - it was validated
        return RequestResult(
            query=record.query,
            served=record.served,
            description=record.description,
            outcomes=[Outcome(each.result) if isinstance(each, Answer) else Outcome(None, each) for each in answers],
            times=record.times(),
            generations=record.generations,
        )

    def refusing(
        self, pipeline: str | None, peer: Peer, deadline_s: float | None, principal: Principal = ANYONE
    ) -> Admission | None:
        """The admission that refuses any request of this client now, whatever it contains; ``None`` if none does.

        Where the pipeline is not known, all that the caller may use must refuse.
        """
        catalog = self.seen_by(principal).catalog
        for name in (pipeline,) if pipeline else catalog.names:
            if self.admissions[name].refusal_reason(1, peer, deadline_s) is None:
                return None
        return self.admission(pipeline or catalog.default.name)

    def _in_time(self, query: Query, context: RequestContext) -> Query:
        """With a deadline that its key allows. Raises ``Invalid`` if it asks for a longer one."""
        longest_s, asked_s = context.principal.limits.max_deadline_s, query.deadline_s
        if longest_s is None or (asked_s is None and self.conf.deadline_s <= longest_s):
            return query
        if asked_s is None:
            return query.changed(deadline_s=longest_s)
        if asked_s > longest_s:
            raise Invalid(f"A deadline of {asked_s:g} s is asked for; this key allows at most {longest_s:g} s.")
        return query

    def _check_size(self, size: int) -> None:
        if size > self.conf.max_reply_bytes:
            limit = self.conf.max_reply_bytes
            raise PayloadTooLarge(f"The answer has {size} bytes, {limit} are allowed; send fewer or shorter inputs.")


def _asked(catalog: Catalog, query: Query, pipeline: str | None) -> str:
    """Name of the pipeline that a request is for. Raises ``NotFound``, or ``Invalid`` if it names two."""
    if query.pipeline is None:
        return pipeline or catalog.default.name
    spec = catalog.find(query.pipeline)
    if spec is None:
        raise NotFound(no_pipeline(catalog, query.pipeline))
    if pipeline not in (None, spec.name):
        raise Invalid(f"The path is that of pipeline {pipeline}, and the request names {query.pipeline}; name one.")
    return spec.name


def no_pipeline(catalog: Catalog, name: str) -> str:
    """What to tell a client that asks for a pipeline that there is not."""
    return f"There is no pipeline {name[:60]!r} here; known are {', '.join(catalog.names)}."
