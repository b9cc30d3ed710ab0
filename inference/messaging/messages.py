"""The messages between web processes and hosts: frozen structs (``codec`` has their form on the channel layer).

Times are durations in seconds or milliseconds, never moments: clocks of hosts do not matter.
"""

from typing import Any, Literal

import msgspec

WORKERS_GROUP = "inference.workers"
ROUTE = "inference"
"""The argument of ``runworker``, and the channel in the scope of the worker consumer."""
DEFAULT_PIPELINE = "default"
"""The name of the pipeline where a deployment has only one."""
RELEASE = 2
"""Of the messages. ``previous_release`` says what those of release 1 are."""

State = Literal["starting", "ready", "failed", "unloaded", "draining", "stopped"]


def host_channel(host_id: str) -> str:
    return f"inference.worker.{host_id}"


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
    """It can send each token as it is generated."""
    beams: int = 1
    """That texts are searched with where a request names no number; with several there are no tokens before the end."""
    chat: bool = False
    """It has a chat template: an input may be a list of chat messages."""
    version: str = ""
    """Workers with equal versions give equal answers and accept the same requests."""
    abilities: tuple[str, ...] | None = None
    """See ``inference.tasks.abilities``; ``None`` where its worker does not say."""


class CostModel(msgspec.Struct, frozen=True):
    """What a batch costs: a fixed time, a time per job (its head, its decoding) and a time per computed token."""

    fixed_ms: float
    per_job_ms: float
    per_token_ms: float

    def useful_ms(self, jobs: int, tokens: int) -> float:
        """The cost of the jobs themselves: without the fixed time of a batch, and without padding."""
        return self.per_job_ms * jobs + self.per_token_ms * tokens

    def predict_ms(self, jobs: int, computed_tokens: int) -> float:
        return self.fixed_ms + self.useful_ms(jobs, computed_tokens)


class Totals(msgspec.Struct, frozen=True):
    """What a worker has done since it started."""

    batches: int = 0
    jobs: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    """Tokens computed for them, with padding."""
    reused_tokens: int = 0
    """Of prompts, those that were not read because an earlier one began with them."""
    evictions: int = 0
    """From what is kept of prompts."""
    guessed_tokens: int = 0
    """Of generated texts, checked by their steps beside the next ones."""
    right_guesses: int = 0
    """Of these, those that were right: tokens that needed no step of their own."""

    def since(self, before: "Totals") -> "Totals":
        return Totals(*(now - then for now, then in zip(_figures(self), _figures(before), strict=True)))

    def plus(self, more: "Totals") -> "Totals":
        return Totals(*(mine + other for mine, other in zip(_figures(self), _figures(more), strict=True)))


def _figures(totals: Totals) -> tuple[int, ...]:
    return msgspec.structs.astuple(totals)


class Order(msgspec.Struct, frozen=True):
    """The newest thing that an operator ordered of a pipeline."""

    pipeline: str
    generation: int
    """The newest order has the largest one."""
    kind: Literal["load", "unload", "reload"]
    age_s: float
    """How long ago it was given, at least."""
    unload_first: bool = False
    turn: str = ""
    """The host that may reload it now."""


class Hello(msgspec.Struct, frozen=True):
    """Web to all hosts and to itself, each hello period; ``n`` counts them."""

    reply_channel: str
    n: int
    period_s: float = 1.0
    """Until the next one."""
    release: int = 1
    """Of the messages that the web process understands."""
    observes: bool = False
    """It only looks (``manage.py pipelines``): no credit is kept for it."""
    orders: tuple[Order, ...] = ()
    """For each pipeline of which anything was ever ordered."""
    drain: tuple[str, ...] = ()
    """Hosts that an operator wants to end."""


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One worker, that is one pipeline at its host, in the host's status."""

    worker: str
    pipeline: str
    """Its name in the catalog."""
    version: str
    """Empty while it loads."""
    state: State
    reason: str = ""
    """Why it failed, or how far loading has come; of a ready one, why it was not reloaded. One sentence or phrase."""
    credit: int
    """How many jobs of the receiving web process the worker will hold at once."""
    credit_bytes: int = 2**62
    """Size of their inputs; one more job may be sent as long as they have less."""
    queue_depth: int
    share: float = 1.0
    """Part of the host's model time that the worker gets while it has work."""
    weight: float = 1.0
    """Of its pipeline, which divides the host's model time between workers that have work."""
    job_ms: float
    """Recent model time of one job; 0 while nothing is known."""
    cost: CostModel | None
    totals: Totals
    facts_n: int = 0
    """Number of its ``Facts``, which are fetched when it is new; 0 while there are none."""
    prefix_bytes: int = 0
    """Held of prompts, for later ones that begin equally."""
    reading_ms: float = 0.0
    """Model time of one token of a prompt; 0 where nothing is known."""
    generation: int | None = None
    """Of the newest order that it has followed, 0 while there was none; ``None`` of hosts that follow none."""
    running: int = 0
    """Jobs in the model: of the batches that run, or the texts that are generated."""


class HostProcess(msgspec.Struct, frozen=True):
    """The process of a host, for people."""

    machine: str = ""
    """Its host name."""
    pid: int = 0
    memory_mb: int = 0
    """Resident; 0 where that is not known."""
    cores: int = 0
    """That it may use."""
    busy_cores: float = 0.0
    """That it used over the last second or more."""


class HostStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Host to one web process, on ``Hello`` and on a change of state."""

    host: str
    channel: str
    heard: int
    """The newest ``n`` that this host has received from this web process."""
    state: State
    webs: int
    """Web processes that this host has lately heard from; they share its credit."""
    held: tuple[int, ...]
    """Ids of this web process's jobs that the host holds: received, and their closing entry not yet sent."""
    workers: tuple[WorkerStatus, ...]
    process: HostProcess = HostProcess()
    """Without its figures in messages of the release before."""


class Want(msgspec.Struct, frozen=True):
    """Web to host: send the facts of these workers."""

    reply_channel: str
    workers: tuple[str, ...]


class Facts(msgspec.Struct, frozen=True):
    """Host to web: what is too large for each status and hardly ever changes."""

    host: str
    worker: str
    n: int
    description: Description


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One input to run. ``input`` and ``parameters`` have been validated by the web side."""

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
    """The web side wants ``Started``."""
    tokens: bool = False
    """It wants each ``Token``."""
    resume: tuple[int, ...] = ()
    """Tokens that an earlier worker generated and the web side has: generation continues after them."""
    arrays: bool = False
    """Vectors are wanted as float32, not as JSON."""
    cache_scope: str = ""
    """Whose it is: what is kept of its prompt serves only jobs with the same one. Empty: everybody's."""


class Submit(msgspec.Struct, frozen=True):
    reply_channel: str
    jobs: tuple[Job, ...]
    worker: str = ""
    """Empty in messages of release 1: the one worker of its host."""


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


class Cleared(msgspec.Struct, frozen=True, tag=True):
    """An ``alone`` job has run for long enough: it is no suspect any more, and others run beside it."""

    id: int


class Token(msgspec.Struct, frozen=True, tag=True):
    """A generated token, for a job that wants them."""

    id: int
    """The job's."""
    index: int
    """Position among all generated tokens, from 0; a job that resumes sends only those after ``resume``."""
    token: int
    """In the vocabulary."""
    text: str
    """What it adds to the text, nothing while a character is incomplete. All of them joined are the text."""
    logprob: float
    """By the model's own scores: before penalties, temperature and the like. NaN where it is not known, which is null
    in JSON."""
    special: bool = False
    data: bytes = b""
    """Its own bytes, which may be half a character, with the space before a word; of a special one, its name."""
    top: tuple[tuple[int, str, float], ...] = ()
    """Of a job that asks for them, the likeliest tokens here: each with its own text and ``logprob``."""


FinishReason = Literal["length", "eos_token", "stop_sequence"]


class Generation(msgspec.Struct, frozen=True):
    """Figures of a generated text."""

    finish_reason: FinishReason
    prompt_tokens: int
    generated_tokens: int
    """All of them, with those of earlier workers."""
    first_token_ms: float
    """From this worker's receipt of the job to the first token that it generated."""
    token_ms: float
    """Mean time of each later token."""
    last: Token | None
    """The last token is sent here and not as an event; ``None`` if the job wants no tokens."""
    cached_tokens: int = 0
    """Of the prompt, those that were not read because an earlier one began with them."""
    reading_ms: float = 0.0
    """The model's time for the rest of the prompt; 0 where that is not known."""


class Heard(msgspec.Struct, frozen=True):
    """What a worker learnt of a recording."""

    seconds: float
    language: str = ""
    """That of the speech, in English; empty if it is not known."""


class Result(msgspec.Struct, frozen=True, tag=True):
    """``output`` is JSON, encoded on the worker's thread, whose bytes the web side joins; or media; or an array."""

    id: int
    output: bytes
    queue_ms: float
    inference_ms: float
    batch_size: int
    generation: Generation | None = None
    media_type: str = ""
    """Of an output that is a recording or an image; empty for JSON."""
    tokens: int = 0
    """Of the input as the model read it, all its sequences; 0 where it has none, as an image."""
    truncated: bool = False
    """The input was cut, as its request allowed."""
    shape: tuple[int, ...] = ()
    """Of an output that is float32, little-endian, in C order; empty for JSON and media."""
    heard: Heard | None = None
    """Of an input that is a recording whose speech was recognised."""
    model_ms: float = 0.0
    """The job's share of the model's time; 0 where it is not known, as from workers of the release before."""
    padding: float = 0.0
    """The part of the tokens computed in its batch that was none of any input: from 0 to below 1."""


class Error(msgspec.Struct, frozen=True, tag=True):
    id: int
    code: str
    message: str


class Returned(msgspec.Struct, frozen=True, tag=True):
    """The worker will not run the job; the web side may send it to another."""

    id: int
    reason: Literal["cancelled", "expired", "draining", "full", "no_go"]


Event = Started | Cleared | Token
Closing = Result | Error | Returned
"""Each job that a worker received ends in exactly one of these."""


class Replies(msgspec.Struct, frozen=True, rename={"host": "worker"}):
    """Host to web; the field's name on the layer is that of release 1."""

    host: str
    entries: tuple[Started | Cleared | Token | Result | Error | Returned, ...]
    """In order: events, then one closing entry per job."""


Message = Hello | HostStatus | Want | Facts | Submit | Cancel | Go | Replies
