"""A call at the dispatcher: its jobs, and the answers as they come."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from inference.errors import InferenceError, Invalid
from inference.messaging import messages
from inference.messaging.messages import Job, Result, Started, Token


class Superseded(Exception):
    """No worker serves any more what the call was validated for, and others serve something else."""


class Peer(NamedTuple):
    """Who asks: turns and permits are shared out between addresses, and for one address between its connections."""

    address: str = ""
    connection: int = 0
    """One HTTP connection or one WebSocket."""


NOBODY = Peer()
"""Of this process itself: all that its own code asks for is one peer's."""


@dataclass(eq=False, slots=True)
class PendingJob:
    """One job of a call, from admission until its answer."""

    job_id: int
    call: "Call"
    index: int
    """Which of the call's inputs."""
    size: int = 0
    """Bytes on the wire, roughly."""
    waiting: bool = True
    """It is at the dispatcher, not with a worker."""
    alone: bool = False
    losses: int = 0
    """Workers lost while they ran it alone."""
    times_sent: int = 0
    sent_at: float = 0.0
    tokens: list[int] = field(default_factory=list)
    """Of a stream: what has been generated and told so far; a worker that gets the job goes on after them."""

    def __lt__(self, other: "PendingJob") -> bool:
        """Goes first: the one that was admitted earlier; but a suspect that may have ended a worker while it ran alone
        comes after those that were only in its company, or it would hold them up at each worker that it ends."""
        return (self.losses, self.job_id) < (other.losses, other.job_id)

    @property
    def wanted(self) -> bool:
        return not self.call.settled and self.call.answers[self.index] is None

    def as_job(self, now: float) -> Job:
        """What travels: the time left, not the deadline, so that clocks of hosts do not matter."""
        return Job(
            id=self.job_id,
            request_id=self.call.request_id,
            input=self.call.inputs[self.index],
            parameters=self.call.parameters,
            time_left_s=self.call.deadline_at - now,
            traceparent=self.call.traceparent,
            alone=self.alone,
            events=self.call.on_started is not None and self.index == 0,  # a list starts once
            tokens=self.call.on_token is not None,
            resume=tuple(self.tokens),
        )

    def hear(self, token: Token) -> bool:
        """Pass on a token if it is the next one; false if tokens before it are missing.

        Generation is deterministic, so one that is known already says nothing new.
        """
        if self.call.on_token is None:
            return True
        if token.index == len(self.tokens):
            self.tokens.append(token.token)
            self.call.on_token(token)
        return token.index < len(self.tokens)

    def continues(self, result: Result) -> bool:
        """Whether no token is missing between those that were told and the last one, which comes with the result."""
        if self.call.on_token is None or result.generation is None:
            return True
        return result.generation.generated_tokens == len(self.tokens) + 1


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one job, and how it came about."""

    result: Result
    worker: str
    waited_ms: float
    """At the dispatcher, before it was sent; the worker's own queue time is in the result."""
    times_sent: int


@dataclass(eq=False)
class Call:
    """The inputs of one request. The first error settles it; otherwise it is settled when every input is answered."""

    request_id: str
    inputs: Sequence[Any]
    parameters: dict[str, Any]
    admitted_at: float
    deadline_at: float
    on_started: Callable[[Started], None] | None
    future: "asyncio.Future[None]"
    peer: Peer = NOBODY
    on_token: Callable[[Token], None] | None = None
    traceparent: str = ""
    version: str = ""
    """Of the model that it was validated for: only workers that serve it get its jobs."""
    jobs: list[PendingJob] = field(default_factory=list)
    answers: list[Answer | None] = field(default_factory=list)
    unanswered: int = 0

    def __post_init__(self) -> None:
        self.answers = [None] * len(self.inputs)
        self.unanswered = len(self.inputs)

    def make_jobs(self, ids: Iterator[int]) -> None:
        """One for each input. Raises ``Invalid`` for what cannot be sent."""
        fixed = _size_of(self.parameters)
        sizes = [fixed + _size_of(value) for value in self.inputs]
        self.jobs = [PendingJob(next(ids), self, index, size) for index, size in enumerate(sizes)]

    @property
    def settled(self) -> bool:
        return self.future.done()

    def answer(self, job: PendingJob, answer: Answer) -> None:
        """Take a job's result; the first one wins."""
        if not job.wanted:
            return
        self.answers[job.index] = answer
        self.unanswered -= 1
        if not self.unanswered:
            self.future.set_result(None)

    def fail(self, error: InferenceError, job: PendingJob | None = None) -> None:
        """Settle with an error; that of one job among several names its index."""
        if self.settled:
            return
        if job is not None and len(self.inputs) > 1:
            error = type(error)(f"inputs[{job.index}]: {error.message}", retry_after_s=error.retry_after_s)
        self.future.set_exception(error)

    def supersede(self) -> None:
        """Settle: it has to be validated anew."""
        if not self.settled:
            self.future.set_exception(Superseded())


def _size_of(value: Any) -> int:
    """Bytes on the wire. Raises ``Invalid`` for what cannot be sent: it would fail again with every worker."""
    try:
        return messages.size(value)
    except TypeError as error:
        raise Invalid(f"An input or parameter cannot be sent to a worker ({error}); send plain JSON values.") from None
