"""What became of a request, as metrics, request log and the process's own log have it."""

from dataclasses import dataclass, field

from inference.conf import Conf
from inference.errors import Cancelled, InferenceError
from inference.messaging.messages import Description
from inference.models import InferenceRequest
from inference.observability import tracing
from inference.observability.metrics import Metrics
from inference.request_log import redaction
from inference.request_log.entry import Entry, report
from inference.request_log.preview import Kept
from inference.request_log.redaction import Redactor
from inference.request_log.writer import RequestLog
from inference.scheduling.calls import Answer
from inference.serving.context import RequestContext
from inference.serving.generation_result import GenerationResult
from inference.serving.log_details import answer_of, inputs_of, moments
from inference.serving.query import Query
from inference.serving.recent_errors import RecentErrors
from inference.serving.result import Served, Times
from inference.serving.units import computed_tokens_of, model_ms_of, units_of, units_sent

Status = InferenceRequest.Status
NOTHING = Served("", "")
NOTHING_KEPT = Kept()


@dataclass(eq=False, slots=True)
class RequestRecord:
    """Filled while the service works on a request."""

    context: RequestContext
    pipeline: str = ""
    """Its name in the catalog, once it is known."""
    served: Served = NOTHING
    """Where its jobs were sent."""
    query: Query | None = None
    description: Description | None = None
    """Of the model that it was validated for."""
    seed: int | None = None
    """With which it generates, drawn where it named none."""
    admitted_ms: float | None = None
    """From its arrival."""
    answers: list[Answer] = field(default_factory=list)
    failed: list[InferenceError] = field(default_factory=list)
    """Of inputs whose errors took the place of their answers."""
    generations: list[GenerationResult] = field(default_factory=list)
    """Generated texts whose tokens the client asked for."""
    _times: Times | None = None

    def times(self) -> Times:
        """Taken when this is first called, so that the answer and the log say the same."""
        if self._times is None:
            results = [answer.result for answer in self.answers]
            self._times = Times(
                queue_ms=max((a.waited_ms + a.result.queue_ms for a in self.answers), default=0.0),
                inference_ms=max((result.inference_ms for result in results), default=0.0),
                total_ms=self.context.elapsed_ms(),
                batch_size=max((result.batch_size for result in results), default=0),
            )
        return self._times

    def entry(self, error: InferenceError | None, log_inputs: str, redactor: Redactor | None = None) -> Entry:
        """The row of the request log; ``log_inputs`` is ``Conf.log_inputs``."""
        message = error.message if error else self._partial()
        context, query, times, answers = self.context, self.query, self.times(), self.answers
        principal = context.principal
        texts = inputs_of(query, self.description, self.seed, log_inputs, redactor) if query else NOTHING_KEPT
        at = moments(self.admitted_ms, answers, self.generations)
        return Entry(
            request_id=context.id,
            received_at=context.received_at,
            transport=context.transport,
            client=context.client,
            dialect=context.dialect,
            key=principal.key,
            key_name=principal.name,
            owner=principal.owner,
            pipeline=self.pipeline,
            version=self.description.version if self.description else "",
            inputs=len(query.inputs) if query else 0,
            preview=texts.preview,
            parameters=texts.parameters,
            complete=texts.complete,
            again_of=context.again_of,
            trace_id=tracing.trace_id(context.traceparent),
            status=_status(error),
            code=error.code if error else "",
            message=redactor.text(message) if redactor else message,  # it may quote an input
            answer=answer_of(answers, self.generations, log_inputs, redactor),
            times_sent=max((answer.times_sent for answer in answers), default=0),
            worker=answers[0].worker if answers else "",
            batch_size=times.batch_size,
            queue_ms=times.queue_ms if answers else None,
            inference_ms=times.inference_ms if answers else None,
            model_ms=sum(model_ms_of(answer.result) for answer in answers) if answers else None,
            units=self.units(),
            tokens=sum(answer.result.tokens for answer in answers),
            computed_tokens=sum(computed_tokens_of(answer.result) for answer in answers),
            total_ms=times.total_ms,
            admitted_ms=self.admitted_ms,
            sent_ms=at.sent,
            started_ms=at.started,
            first_token_ms=at.first_token,
        )

    def units(self) -> int:
        """Of what was computed for it, as far as that is known here."""
        if self.answers:
            return sum(units_of(answer.result) for answer in self.answers)
        return sum(map(units_sent, self.generations))

    def _partial(self) -> str:
        """What to log of inputs that failed in a request that succeeded."""
        return f"{len(self.failed)} inputs failed; the first: {self.failed[0].message}" if self.failed else ""


class Recorder:
    """Counts and logs every request that has ended."""

    def __init__(self, conf: Conf, metrics: Metrics, request_log: RequestLog) -> None:
        self.recent_errors = RecentErrors()
        self._log_inputs = conf.log_inputs
        self._redactor = redaction.configured(conf.log_redactor)
        self._metrics = metrics
        self._request_log = request_log

    def record(self, record: RequestRecord, error: InferenceError | None) -> None:
        entry = record.entry(error, self._log_inputs, self._redactor)
        pipeline = entry.pipeline
        self._metrics.count(pipeline, entry.transport, entry.status, entry.code, entry.total_ms)
        if entry.queue_ms is not None and entry.inference_ms is not None:
            self._metrics.observe(pipeline, entry.queue_ms, entry.inference_ms, entry.batch_size)
        for generation in record.generations:
            if generation.tokens:
                self._metrics.observe_tokens(pipeline, generation.first_token_ms, len(generation.tokens))
        if error is not None:
            self.recent_errors.add(entry)
        if self._request_log.record(entry):
            report(entry, record.context.traceparent)


def _status(error: InferenceError | None) -> str:
    if error is None:
        return Status.OK
    if isinstance(error, Cancelled):
        return Status.CANCELLED
    return Status.REFUSED if error.refusal else Status.FAILED
