"""The one door: admits, dispatches, times, counts and logs a request. Consumers and ``inference.infer`` call it."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from inference.conf import Conf
from inference.errors import Cancelled, InferenceError, Internal, PayloadTooLarge, WorkerLost
from inference.messaging.messages import Started, Token
from inference.models import InferenceRequest
from inference.observability import tracing
from inference.observability.metrics import Metric, Metrics, counter, gauge
from inference.request_log.writer import Entry, RequestLog, preview, report
from inference.scheduling.admission import Admission
from inference.scheduling.calls import NOBODY, Answer, Peer, Superseded
from inference.scheduling.dispatcher import Dispatcher
from inference.scheduling.versions import titled
from inference.serving import validation
from inference.serving.generation_result import GenerationResult
from inference.serving.query import Query, Times

logger = logging.getLogger(__name__)

LAST_ANSWERS_S = 1.0
"""For the requests that a stop gave up: to be told so."""


@dataclass(eq=False, slots=True, kw_only=True)
class Request:
    """One client call, from its first byte to its row in the log."""

    transport: str
    client: str | None
    peer: Peer = NOBODY
    id: str = field(default_factory=tracing.new_request_id)
    traceparent: str = ""
    """Of this request's span, in the trace of a client that has one."""
    received_at: float = field(default_factory=time.time)
    started: float = field(default_factory=time.monotonic)
    query: Query | None = None
    model: str = ""
    """That it was validated for."""
    answers: list[Answer] = field(default_factory=list)
    generation_result: GenerationResult | None = None
    """Of a generated text whose tokens the client wants to know."""

    @property
    def many(self) -> bool:
        """The client sent a list, and gets one."""
        return self.query is not None and self.query.many

    def times(self) -> Times:
        """Of what is known so far."""
        return Times(
            queue_ms=max((a.waited_ms + a.result.queue_ms for a in self.answers), default=0.0),
            inference_ms=max((a.result.inference_ms for a in self.answers), default=0.0),
            total_ms=(time.monotonic() - self.started) * 1000,
            batch_size=max((a.result.batch_size for a in self.answers), default=0),
        )


class Service:
    """One per web process; lives on the dispatcher's event loop."""

    def __init__(self, conf: Conf, dispatcher: Dispatcher, request_log: RequestLog, *, embedded: bool = False) -> None:
        self.conf = conf
        self.dispatcher = dispatcher
        self.admission = Admission(dispatcher, conf, embedded=embedded)
        self.metrics = Metrics(self._figures)
        self.draining = asyncio.Event()
        self._request_log = request_log
        self.loop = asyncio.get_running_loop()
        self._open = 0
        self._closed = asyncio.Event()

    async def answer(
        self,
        request: Request,
        read: Callable[[], Query],
        *,
        on_admitted: Callable[[], None] | None = None,
        on_started: Callable[[Started], None] | None = None,
        on_token: Callable[[Token], None] | None = None,
    ) -> list[bytes]:
        """One JSON output per input, in order. ``read`` makes the query; what it raises is an answer like any other.

        ``on_token`` hears each token of a stream but the last, which is in the request's generation_result at the end.

        Cancel the calling task when the client is gone: its jobs are cancelled and its permits free at once.

        Raises:
            InferenceError: what to tell the client.
        """
        error: InferenceError | None = None
        self._open += 1
        try:
            request.answers = await self._run(request, read, on_admitted, on_started, on_token)
            outputs = [answer.result.output for answer in request.answers]
            self._check_size(sum(map(len, outputs)))
        except InferenceError as raised:
            error = raised
            raise
        except asyncio.CancelledError:
            error = Cancelled("The client cancelled the request or went away.")
            raise
        except Exception:
            error = Internal(f"This server has a bug; its log has the details under request {request.id}.")
            logger.exception("Request %s", request.id, extra=tracing.fields(request.id, request.traceparent))
            raise error from None
        else:
            return outputs
        finally:
            self._open -= 1
            if not self._open:
                self._closed.set()
            self._log(request, error)

    def refused(self, request: Request, error: InferenceError) -> None:
        """Log a request that could not even be read."""
        self._log(request, error)

    def unready(self) -> str:
        """Why a request now would not be served; empty if it would."""
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
        if not (others := registry.others()):
            return ""
        ignored = ", ".join(sorted({titled(worker.description) for worker in others}))
        return (
            f"Workers serve different models. Requests go to {titled(registry.description)}, "
            f"{len(registry.serving())} ready; none go to {ignored}, {len(others)} ready."
        )

    async def drain(self, timeout_s: float) -> None:
        """Refuse what is new and wait for what was accepted; what is left at the end gets an error."""
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

    async def _run(
        self,
        request: Request,
        read: Callable[[], Query],
        on_admitted: Callable[[], None] | None,
        on_started: Callable[[Started], None] | None,
        on_token: Callable[[Token], None] | None,
    ) -> list[Answer]:
        self.admission.check(1, request.peer, self.conf.max_deadline_s)  # before the body is even parsed
        query = request.query = read()
        validation.validate_number(query.inputs)
        admitted_at = asyncio.get_running_loop().time()
        deadline_at = admitted_at + (query.deadline_s or self.conf.deadline_s)
        with self.admission.permits(len(query.inputs), request.peer, query.deadline_s):
            while True:
                parameters, version = await self._validated(request, query, deadline_at)
                if on_admitted is not None:
                    on_admitted()
                    on_admitted = None
                try:
                    answers = await self.dispatcher.run(
                        request.id,
                        query.inputs,
                        parameters,
                        admitted_at,
                        deadline_at,
                        on_started,
                        request.peer,
                        _scribe(request.generation_result, on_token),
                        request.traceparent,
                        version,
                    )
                    break
                except Superseded:
                    if request.generation_result is not None and request.generation_result.tokens:
                        raise WorkerLost("The model was replaced while it generated this text; ask again.") from None
        generation = answers[0].result.generation
        if request.generation_result is not None and generation is not None:
            request.generation_result.finish(generation)
        return answers

    async def _validated(self, request: Request, query: Query, deadline_at: float) -> tuple[dict[str, Any], str]:
        """Parameters to send, and the version of the model that they are for. Waits for the first worker."""
        description = await self.dispatcher.description(deadline_at)
        request.model = description.model
        validation.validate_inputs(description, query.inputs)
        parameters = validation.validate_parameters(description, query.parameters)
        if query.stream or query.asks("details"):
            validation.validate_tokens(description, "stream" if query.stream else "details", many=query.many)
            request.generation_result = GenerationResult(
                given=query.inputs[0],
                began=request.started,
                live=query.stream,
                full_text=query.asks("return_full_text"),
                seed=parameters.get("seed"),
            )
        return parameters, description.version

    def _check_size(self, size: int) -> None:
        if size > self.conf.max_reply_bytes:
            limit = self.conf.max_reply_bytes
            raise PayloadTooLarge(f"The answer has {size} bytes, {limit} are allowed; send fewer or shorter inputs.")

    def _figures(self) -> Iterator[Metric]:
        """What is read when Prometheus asks."""
        registry, totals = self.dispatcher.registry, self.dispatcher.totals
        yield gauge("pending_inputs", "Admitted and not yet answered", self.admission.taken)
        wait_s = self.admission.predicted_wait_s()
        yield gauge("predicted_wait_seconds", "Of one more input, if it came now", wait_s)
        yield gauge("queue_depth", "Jobs that wait here or at workers", self.dispatcher.queue_depth)
        yield gauge(
            "credit_used", "Jobs that workers have been sent and not yet given back", self.dispatcher.credit_used
        )
        yield gauge("workers_ready", "Workers that take jobs", len(registry.serving()))
        yield gauge(
            "workers_other_version", "Ready workers that get none: they serve another model", len(registry.others())
        )
        yield counter("jobs", "Jobs that the workers ran", totals.jobs)
        yield counter("batches", "Batches that the workers ran", totals.batches)
        yield counter("model_tokens", "Tokens of the jobs that the workers ran", totals.tokens)
        yield counter("computed_tokens", "The same, with the padding that was computed", totals.padded_tokens)
        if cost := next((worker.cost for worker in registry.serving() if worker.cost), None):
            yield gauge("batch_fixed_seconds", "Cost model of a worker: per batch", cost.fixed_ms / 1000)
            yield gauge("batch_job_seconds", "Cost model of a worker: per job", cost.per_job_ms / 1000)
            yield gauge("batch_token_seconds", "Cost model of a worker: per computed token", cost.per_token_ms / 1000)
        yield counter("redispatched", "Jobs that went back to the queue", self.dispatcher.redispatched)
        yield gauge("log_rows_waiting", "Rows of the log that wait for the database", self._request_log.waiting)
        yield counter("log_rows_dropped", "Requests that the log has no room for", self._request_log.dropped)

    def _log(self, request: Request, error: InferenceError | None) -> None:
        query, times, answers = request.query, request.times(), request.answers
        description = self.dispatcher.registry.description
        self.metrics.count(request.transport, _status(error), error.code if error else "", times.total_ms)
        if answers:
            self.metrics.observe(times.queue_ms, times.inference_ms, times.batch_size)
        if request.generation_result is not None and request.generation_result.tokens:
            self.metrics.observe_tokens(request.generation_result.first_token_ms, len(request.generation_result.tokens))
        entry = Entry(
            request_id=request.id,
            received_at=request.received_at,
            transport=request.transport,
            client=request.client,
            pipeline=request.model or (description.model if description else ""),
            inputs=len(query.inputs) if query else 0,
            preview=preview(query.inputs, self.conf.log_inputs) if query else "",
            status=_status(error),
            code=error.code if error else "",
            message=error.message if error else "",
            times_sent=max((answer.times_sent for answer in answers), default=0),
            worker=answers[0].worker if answers else "",
            batch_size=times.batch_size,
            queue_ms=times.queue_ms if answers else None,
            inference_ms=times.inference_ms if answers else None,
            total_ms=times.total_ms,
        )
        if self._request_log.record(entry):
            report(entry, request.traceparent)


def _scribe(
    generation_result: GenerationResult | None, on_token: Callable[[Token], None] | None
) -> Callable[[Token], None] | None:
    """Takes tokens down and passes them on; none if nobody wants to know them."""
    if generation_result is None:
        return None

    def hear(token: Token) -> None:
        generation_result.take(token)
        if on_token is not None and generation_result.live:
            on_token(token)

    return hear


def _status(error: InferenceError | None) -> str:
    kinds = InferenceRequest.Status
    if error is None:
        return kinds.OK
    if isinstance(error, Cancelled):
        return kinds.CANCELLED
    return kinds.REFUSED if error.refusal else kinds.FAILED


_current: Service | None = None


def current() -> Service | None:
    """The service of this process, once it has started; for the server, which knows no ASGI scope."""
    return _current


def use(service: Service | None) -> None:
    """Make it the one of this process."""
    global _current
    _current = service
