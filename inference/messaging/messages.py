"""Everything that crosses the channel layer between web processes and workers.

A message is a frozen struct. On the layer it is a dict ``{"type", "version", "body"}`` whose body is the
struct in MessagePack, so both layers carry the same bytes: what cannot be sent through Redis cannot be sent
in memory either, and the in-memory layer's ``deepcopy`` costs nothing. Times are durations in seconds or
milliseconds, never moments: clocks of hosts do not matter.
"""

from typing import Any, Literal

import msgspec

VERSION = 1
WORKERS_GROUP = "inference.workers"
ROUTE = "inference"
"""What ``runworker`` is given, and the channel in the scope of the worker consumer."""

State = Literal["starting", "ready", "draining", "stopped"]


def worker_channel(worker_id: str) -> str:
    return f"inference.worker.{worker_id}"


def reply_channel(web_id: str) -> str:
    return f"inference.web.{web_id}"


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker serves; the web side validates requests with it. Lengths are in tokens unless named."""

    task: str
    model: str
    revision: str
    device: str
    dtype: str
    threads: int
    vocabulary: int
    mask_token: str
    longest_input: int
    longest_input_chars: int
    memory_mb: int = 0
    streams: bool = False
    """It says each token as it comes."""
    chat: bool = False
    """It has a chat template: an input may be a list of messages."""
    version: str = ""
    """Of what is served: workers with equal versions give equal answers and take the same requests."""


class CostModel(msgspec.Struct, frozen=True):
    """What a batch costs: a fixed time, a time per job (its head, its decoding) and a time per computed token."""

    fixed_ms: float
    per_job_ms: float
    per_token_ms: float

    def useful_ms(self, jobs: int, tokens: int) -> float:
        """Of jobs with so many real tokens: what they would cost without company and padding to pay for."""
        return self.per_job_ms * jobs + self.per_token_ms * tokens

    def predict_ms(self, jobs: int, computed_tokens: int) -> float:
        return self.fixed_ms + self.useful_ms(jobs, computed_tokens)


class Totals(msgspec.Struct, frozen=True):
    """What a worker has done since it started."""

    batches: int = 0
    jobs: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    """What was computed for them, padding included."""

    def since(self, before: "Totals") -> "Totals":
        return Totals(*(now - then for now, then in zip(_figures(self), _figures(before), strict=True)))

    def plus(self, more: "Totals") -> "Totals":
        return Totals(*(mine + other for mine, other in zip(_figures(self), _figures(more), strict=True)))


def _figures(totals: Totals) -> tuple[int, ...]:
    return totals.batches, totals.jobs, totals.tokens, totals.padded_tokens


class Hello(msgspec.Struct, frozen=True):
    """Web to all workers and to itself, each hello period; ``n`` counts them."""

    reply_channel: str
    n: int


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Worker to one web process, on ``Hello`` and on a change of state."""

    worker: str
    channel: str
    heard: int
    """The newest ``n`` that this worker has heard from this web process."""
    state: State
    description: Description | None
    queue_depth: int
    cost: CostModel | None
    job_ms: float
    """Of the model's time that one job takes, lately; 0 while nothing is known."""
    totals: Totals
    webs: int
    """Web processes that this worker has heard lately; they share its credit."""
    credit: int
    """How many jobs of this web process the worker will hold at once."""
    held: tuple[int, ...]
    """Ids of this web process's jobs that the worker holds: received, and their closing entry not yet sent."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One input on its way. ``input`` and ``parameters`` have been validated by the web side."""

    id: int
    request_id: str
    input: Any
    parameters: dict[str, Any]
    time_left_s: float
    traceparent: str = ""
    """Of the request's span in its client's trace, if it has one; for the worker's log."""
    alone: bool = False
    """A suspect: it runs with nothing else in the model, and only after the web's ``Go``."""
    events: bool = False
    """The web side wants to hear ``Started``."""
    tokens: bool = False
    """It wants to hear each ``Token``."""
    resume: tuple[int, ...] = ()
    """Tokens that an earlier worker generated and the web side has: generation goes on after them."""


class Submit(msgspec.Struct, frozen=True):
    reply_channel: str
    jobs: tuple[Job, ...]


class Cancel(msgspec.Struct, frozen=True):
    reply_channel: str
    ids: tuple[int, ...]


class Go(msgspec.Struct, frozen=True):
    reply_channel: str
    id: int


class Started(msgspec.Struct, frozen=True, tag=True):
    """The job's batch goes into the model; for an ``alone`` job, it asks for ``Go``."""

    id: int
    batch_size: int


class Token(msgspec.Struct, frozen=True, tag=True):
    """A token that was generated, for a job that wants to hear of them."""

    id: int
    """The job's."""
    index: int
    """Position among the generated tokens, from 0; one that resumes says only what comes after."""
    token: int
    """In the vocabulary."""
    text: str
    """What it adds to the text: nothing while a character is incomplete. All of them joined are the text."""
    logprob: float
    special: bool = False


FinishReason = Literal["length", "eos_token", "stop_sequence"]


class Generation(msgspec.Struct, frozen=True):
    """How a generated text came about."""

    finish_reason: FinishReason
    prompt_tokens: int
    generated_tokens: int
    """All of them, those of earlier workers included."""
    first_token_ms: float
    """From this worker's receipt of the job to the first token that it generated itself."""
    token_ms: float
    """Mean of the tokens after that one."""
    last: Token | None
    """It travels here and never as an event of its own; of a job that wants no tokens, nowhere."""


class Result(msgspec.Struct, frozen=True, tag=True):
    """``output`` is JSON, made on the worker's thread; the web side joins such bytes."""

    id: int
    output: bytes
    queue_ms: float
    inference_ms: float
    batch_size: int
    generation: Generation | None = None


class Error(msgspec.Struct, frozen=True, tag=True):
    id: int
    code: str
    message: str


class Returned(msgspec.Struct, frozen=True, tag=True):
    """The worker will not run the job: the web side may still want it run elsewhere."""

    id: int
    reason: Literal["cancelled", "expired", "draining", "full", "no_go"]


Event = Started | Token
Closing = Result | Error | Returned
"""Each job that a worker received ends in exactly one of these."""


class Replies(msgspec.Struct, frozen=True):
    worker: str
    entries: tuple[Started | Token | Result | Error | Returned, ...]
    """In order: events, then one closing entry per job."""


Message = Hello | Status | Submit | Cancel | Go | Replies
TYPES: dict[str, type[Message]] = {
    "inference.hello": Hello,
    "inference.status": Status,
    "inference.submit": Submit,
    "inference.cancel": Cancel,
    "inference.go": Go,
    "inference.replies": Replies,
}
_NAMES = {kind: name for name, kind in TYPES.items()}
_DECODERS = {name: msgspec.msgpack.Decoder(kind) for name, kind in TYPES.items()}
_encoder = msgspec.msgpack.Encoder()
_JSON_TYPES = (str, int, float, bool, type(None))

ENVELOPE_BYTES = 512 * 1024
"""Bound of one channel-layer message; a single larger job or answer travels alone."""


class UnknownMessage(ValueError):
    """Not one of ours, or of another version: to be ignored and reported once."""


def encode(message: Message) -> dict[str, Any]:
    """As it goes onto the layer. Raises ``TypeError`` for values that it has no word for."""
    return {"type": _NAMES[type(message)], "version": VERSION, "body": _encoder.encode(message)}


def size(value: Any) -> int:
    """Bytes on the wire of a job's input or parameters.

    Raises:
        TypeError: it holds what JSON has no word for; MessagePack would quietly turn it into something else.
    """
    _check_json(value)
    return len(_encoder.encode(value))


def decode(raw: Any) -> Message:
    """Raises ``UnknownMessage`` for whatever was not made by ``encode`` of this version."""
    if not isinstance(raw, dict) or raw.get("version") != VERSION:
        version = raw.get("version") if isinstance(raw, dict) else None
        raise UnknownMessage(f"message version {version!r}, this process speaks {VERSION}")
    kind = raw.get("type")
    decoder = _DECODERS.get(kind) if isinstance(kind, str) else None
    if decoder is None:
        raise UnknownMessage(f"message type {kind!r}")
    try:
        return decoder.decode(raw["body"])
    except (KeyError, TypeError, ValueError, RecursionError, msgspec.DecodeError) as error:
        raise UnknownMessage(f"message {kind}: {error}") from error


def _check_json(value: Any) -> None:
    """MessagePack would turn datetimes, sets and bytes into something else without a word."""
    if type(value) is dict:
        for name, item in value.items():
            if type(name) is not str:
                raise TypeError(f"JSON has no word for a name that is {type(name).__name__}")
            _check_json(item)
    elif type(value) is list:
        for item in value:
            _check_json(item)
    elif type(value) not in _JSON_TYPES:
        raise TypeError(f"JSON has no word for {type(value).__name__}")
