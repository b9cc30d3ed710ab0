"""A call at the dispatcher: the inputs of one request as jobs, and the answers so far."""

import asyncio
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from inference.errors import InferenceError, Invalid
from inference.messaging import codec
from inference.messaging.messages import DEFAULT_PIPELINE, Job, Result, Started, Token
from inference.models.api_key import USUAL_PRIORITY


class Superseded(Exception):
    """No worker serves the version that the call was validated for any more, and others serve another."""


class Peer(NamedTuple):
    """Who asks. Turns and permits are shared between owners, for one owner between its keys, and for one key between
    its connections. Where no keys are asked for, a client's address is the owner of its connections.
    """

    owner: str = ""
    connection: Hashable = 0
    """One HTTP connection or one WebSocket."""
    key: str = ""
    """Its prefix; empty without one."""
    priority: int = USUAL_PRIORITY

    @property
    def path(self) -> tuple[Hashable, ...]:
        """As turns are taken: from the whole to the part."""
        return (self.owner, self.key, self.connection) if self.key else (self.owner, self.connection)

    @property
    def groups(self) -> "tuple[Group, ...]":
        """As permits are shared: what ``path`` leads through."""
        return (self.owner, (self.owner, self.key), self) if self.key else (self.owner, self)

    def with_key(self, owner: str, key: str, priority: int) -> "Peer":
        """This client, of which the address is known, with a key."""
        return Peer(owner, (self.owner, self.connection), key, priority)


Group = str | tuple[str, str] | Peer
"""An owner, one of its keys, or a connection."""
LOCAL = Peer()
"""Code of this process: all of it is one peer."""


SEEDS = 2**31
"""Seeds are below it."""


def seed_of(seed: int, choice: int) -> int:
    """Of a choice, by number, whose request has ``seed``."""
    return (seed + choice) % SEEDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What workers are to do for one request. Moments are of the event loop's clock."""

    request_id: str
    inputs: Sequence[Any]
    parameters: dict[str, Any]
    choices: int = 1
    """Answers to each input. The seed of a later one is larger by its number."""
    partial: bool = False
    """An input that fails does not end the others: its error takes the place of its answer."""
    admitted_at: float
    deadline_at: float
    pipeline: str = DEFAULT_PIPELINE
    """Its name in the catalog."""
    peer: Peer = LOCAL
    traceparent: str = ""
    version: str = ""
    """Of the model that it was validated for: only workers that serve it get its jobs."""
    arrays: bool = False
    """Vectors are wanted as arrays. Workers of the release before return JSON all the same."""
    cache_scope: str = ""
    """See ``Job``."""


@dataclass(frozen=True, slots=True)
class Events:
    """What is called for the events of a call; workers report only those that are wanted."""

    admitted: Callable[[], None] | None = None
    """When its jobs can be sent."""

    started: Callable[[Started], None] | None = None
    """When the first input enters the model."""
    token: Callable[[int, Token], None] | None = None
    """For each generated token but the last, once and in order; the number is that of its answer."""
    answered: Callable[[int, Result], None] | None = None
    """For each answer, with its number."""


NO_EVENTS = Events()


@dataclass(eq=False, slots=True)
class PendingJob:
    """One job of a call, from admission until its answer."""

    job_id: int
    call: "Call"
    index: int
    """Number of its answer in the call."""
    size: int = 0
    """Bytes on the wire, roughly."""
    waiting: bool = True
    """It is at the dispatcher, not with a worker."""
    alone: bool = False
    losses: int = 0
    """Workers that were lost while they ran it alone."""
    times_sent: int = 0
    sent_at: float = 0.0
    tokens: list[int] = field(default_factory=list)
    """Generated and passed on so far; a worker that gets the job continues after them."""

    def __lt__(self, other: "PendingJob") -> bool:
        """Order of returned jobs: the earliest admitted first. A suspect that was lost with a worker while it ran alone
        comes last: it would delay the others at each worker that it ends."""
        return (self.losses, self.job_id) < (other.losses, other.job_id)

    @property
    def wanted(self) -> bool:
        return not self.call.settled and self.call.answers[self.index] is None

    def as_job(self, now: float) -> Job:
        """The message for a worker. It carries the time left, not the deadline: clocks of hosts may differ."""
        work, events = self.call.work, self.call.events
        number, choice = divmod(self.index, work.choices)
        parameters = work.parameters
        if choice and "seed" in parameters:
            parameters = parameters | {"seed": seed_of(parameters["seed"], choice)}
        return Job(
            id=self.job_id,
            request_id=work.request_id,
            input=work.inputs[number],
            parameters=parameters,
            time_left_s=work.deadline_at - now,
            traceparent=work.traceparent,
            alone=self.alone,
            events=events.started is not None and self.index == 0,  # a list starts once
            tokens=events.token is not None,
            resume=tuple(self.tokens),
            arrays=work.arrays,
            cache_scope=work.cache_scope,
        )

    def accept_token(self, token: Token) -> bool:
        """Pass on a token if it is the next one; false if tokens before it are missing.

        Generation is deterministic, so a token with a known index is a repetition.
        """
        if self.call.events.token is None:
            return True
        if token.index == len(self.tokens):
            self.tokens.append(token.token)
            self.call.events.token(self.index, token)
        return token.index < len(self.tokens)

    def completed_by(self, result: Result) -> bool:
        """Whether no token is missing between those passed on and the last one, which comes with the result."""
        if self.call.events.token is None or result.generation is None:
            return True
        return result.generation.generated_tokens == len(self.tokens) + 1


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one job, with the worker that gave it."""

    result: Result
    worker: str
    waited_ms: float
    """At the dispatcher, before it was sent; the time in the worker's queue is in the result."""
    times_sent: int


@dataclass(eq=False)
class Call:
    """Work under way. It is settled when every input has its answers, or by the first error.

    Where a part of the answers is wanted, the error of one job takes the place of its answer; and what ends the call
    ends it with an error only if there is no answer yet.
    """

    work: Work
    events: Events
    future: "asyncio.Future[None]"
    jobs: list[PendingJob] = field(default_factory=list)
    answers: list[Answer | InferenceError | None] = field(default_factory=list)
    """For each input, as many as there are choices."""
    unanswered: int = 0

    def __post_init__(self) -> None:
        self.unanswered = len(self.work.inputs) * self.work.choices
        self.answers = [None] * self.unanswered

    def make_jobs(self, ids: Iterator[int]) -> None:
        """One for each answer. Raises ``Invalid`` for what cannot be sent."""
        fixed = _size_of(self.work.parameters)
        sizes = [fixed + _size_of(value) for value in self.work.inputs for _ in range(self.work.choices)]
        self.jobs = [PendingJob(next(ids), self, index, size) for index, size in enumerate(sizes)]

    @property
    def settled(self) -> bool:
        return self.future.done()

    def answer(self, job: PendingJob, answer: Answer) -> None:
        """Take a job's result; the first one counts."""
        if not job.wanted:
            return
        if self.events.answered is not None:
            self.events.answered(job.index, answer.result)
        self._place(job, answer)

    def fail(self, error: InferenceError, job: PendingJob | None = None) -> None:
        """Settle with an error, or put it in place; that of one input among several names its index."""
        if self.settled:
            return
        if self.work.partial and job is not None:
            if job.wanted:
                self._place(job, error)
        elif self.work.partial and any(isinstance(answer, Answer) for answer in self.answers):
            self.answers = [error if answer is None else answer for answer in self.answers]
            self.future.set_result(None)
        else:
            if job is not None and len(self.work.inputs) > 1:
                number = job.index // self.work.choices
                error = type(error)(f"inputs[{number}]: {error.message}", retry_after_s=error.retry_after_s)
            self.future.set_exception(error)

    def _place(self, job: PendingJob, answer: Answer | InferenceError) -> None:
        self.answers[job.index] = answer
        self.unanswered -= 1
        if not self.unanswered:
            self.future.set_result(None)

    def supersede(self) -> None:
        """Settle: it has to be validated anew."""
        if not self.settled:
            self.future.set_exception(Superseded())


def _size_of(value: Any) -> int:
    """Bytes on the wire. Raises ``Invalid`` for what cannot be sent: it would fail again with every worker."""
    try:
        return codec.size(value)
    except TypeError as error:
        raise Invalid(f"An input or parameter cannot be sent to a worker ({error}); send plain JSON values.") from None
