"""A rolling deploy: processes of this release and of the one before understand each other.

The structs of the release before are written down here as they were, so that a change to ours cannot change them.
"""

from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.messaging.codec import VERSION, decode, encode
from inference.messaging.messages import (
    DEFAULT_PIPELINE,
    RELEASE,
    Cancel,
    CostModel,
    Description,
    Error,
    Facts,
    Generation,
    Go,
    Hello,
    HostStatus,
    Job,
    Replies,
    Result,
    Returned,
    Started,
    State,
    Submit,
    Token,
    Totals,
    WorkerStatus,
)
from inference.messaging.previous_release import Status, status_of, upgraded
from tests.messaging.test_codec import DESCRIPTIONS, EACH, ENTRIES, JOBS, TEXTS, steady

A, W = "inference.web.a", "0a1b2c"


# The structs of the release before


class OldHello(msgspec.Struct, frozen=True):
    reply_channel: str
    n: int


class OldDescription(msgspec.Struct, frozen=True, kw_only=True):
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
    chat: bool = False
    version: str = ""


class OldCostModel(msgspec.Struct, frozen=True):
    fixed_ms: float
    per_job_ms: float
    per_token_ms: float


class OldTotals(msgspec.Struct, frozen=True):
    batches: int = 0
    jobs: int = 0
    tokens: int = 0
    padded_tokens: int = 0


class OldStatus(msgspec.Struct, frozen=True, kw_only=True):
    worker: str
    channel: str
    heard: int
    state: Literal["starting", "ready", "draining", "stopped"]
    description: OldDescription | None
    queue_depth: int
    cost: OldCostModel | None
    job_ms: float
    totals: OldTotals
    webs: int
    credit: int
    held: tuple[int, ...]


class OldJob(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    request_id: str
    input: Any
    parameters: dict[str, Any]
    time_left_s: float
    traceparent: str = ""
    alone: bool = False
    events: bool = False
    tokens: bool = False
    resume: tuple[int, ...] = ()


class OldSubmit(msgspec.Struct, frozen=True):
    reply_channel: str
    jobs: tuple[OldJob, ...]


class OldCancel(msgspec.Struct, frozen=True):
    reply_channel: str
    ids: tuple[int, ...]


class OldGo(msgspec.Struct, frozen=True):
    reply_channel: str
    id: int


class OldStarted(msgspec.Struct, frozen=True, tag="Started"):
    id: int
    batch_size: int


class OldToken(msgspec.Struct, frozen=True, tag="Token"):
    id: int
    index: int
    token: int
    text: str
    logprob: float
    special: bool = False


class OldGeneration(msgspec.Struct, frozen=True):
    finish_reason: Literal["length", "eos_token", "stop_sequence"]
    prompt_tokens: int
    generated_tokens: int
    first_token_ms: float
    token_ms: float
    last: OldToken | None


class OldResult(msgspec.Struct, frozen=True, tag="Result"):
    id: int
    output: bytes
    queue_ms: float
    inference_ms: float
    batch_size: int
    generation: OldGeneration | None = None


class OldError(msgspec.Struct, frozen=True, tag="Error"):
    id: int
    code: str
    message: str


class OldReturned(msgspec.Struct, frozen=True, tag="Returned"):
    id: int
    reason: Literal["cancelled", "expired", "draining", "full", "no_go"]


class OldReplies(msgspec.Struct, frozen=True):
    worker: str
    entries: tuple[OldStarted | OldToken | OldResult | OldError | OldReturned, ...]


OLD: dict[str, type[msgspec.Struct]] = {
    "inference.hello": OldHello,
    "inference.status": OldStatus,
    "inference.submit": OldSubmit,
    "inference.cancel": OldCancel,
    "inference.go": OldGo,
    "inference.replies": OldReplies,
}


def old_decode(raw: dict[str, Any]) -> Any:
    """As the release before decodes."""
    assert raw["version"] == 1
    return msgspec.msgpack.decode(raw["body"], type=OLD[raw["type"]])


def from_old(kind: str, fields: dict[str, Any]) -> Any:
    """What is understood of the bytes of a message of the release before."""
    return decode({"type": kind, "version": 1, "body": msgspec.msgpack.encode(fields)})


def plain(value: Any) -> Any:
    return msgspec.to_builtins(value)


NEWS = {
    "Result": {"media_type", "tokens", "truncated", "shape", "heard", "model_ms", "padding"},
    "Description": {"abilities", "beams"},
    "Job": {"arrays", "cache_scope"},
    "Generation": {"cached_tokens", "reading_ms"},
    "Totals": {"reused_tokens", "evictions", "guessed_tokens", "right_guesses"},
    "Token": {"data", "top"},
}
"""Fields that the release before does not know."""


def without_news(kind: str, fields: dict[str, Any]) -> dict[str, Any]:
    known = {name: value for name, value in fields.items() if name not in NEWS.get(kind, ())}
    if generation := known.get("generation"):
        last = generation["last"]
        known["generation"] = without_news("Generation", generation) | {"last": last and without_news("Token", last)}
    return known


# What the release before says

DESCRIPTION: dict[str, Any] = {
    "task": "fill-mask",
    "model": "bert",
    "revision": "main",
    "device": "cpu",
    "dtype": "float32",
    "threads": 2,
    "vocabulary": 30522,
    "mask_token": "[MASK]",
    "longest_input": 512,
    "longest_input_chars": 20000,
    "memory_mb": 700,
    "streams": False,
    "chat": False,
    "version": "5eed",
}
JOB: dict[str, Any] = {
    "id": 7,
    "request_id": "r",
    "input": "a [MASK]",
    "parameters": {"top_k": 3},
    "time_left_s": 1.5,
    "traceparent": "",
    "alone": True,
    "events": False,
    "tokens": False,
    "resume": [1, 2],
}
STATUS: dict[str, Any] = {
    "worker": W,
    "channel": f"inference.worker.{W}",
    "heard": 3,
    "state": "ready",
    "description": DESCRIPTION,
    "queue_depth": 4,
    "cost": {"fixed_ms": 1.0, "per_job_ms": 2.0, "per_token_ms": 3.0},
    "job_ms": 5.0,
    "totals": {"batches": 1, "jobs": 2, "tokens": 3, "padded_tokens": 4},
    "webs": 2,
    "credit": 8,
    "held": [7, 8],
}


def test_the_release_before_has_the_version_on_the_layer_that_this_one_has():
    assert VERSION == 1
    assert RELEASE == 2


def test_an_old_hello_is_one_of_release_1_each_second():
    assert from_old("inference.hello", {"reply_channel": A, "n": 3}) == Hello(A, 3, period_s=1.0, release=1)


def test_an_old_submit_names_no_worker():
    message = from_old("inference.submit", {"reply_channel": A, "jobs": [JOB]})
    job = Job(
        id=7,
        request_id="r",
        input="a [MASK]",
        parameters={"top_k": 3},
        time_left_s=1.5,
        alone=True,
        resume=(1, 2),
    )
    assert message == Submit(A, (job,), worker="")


def test_old_cancel_and_go_are_what_they_were():
    assert from_old("inference.cancel", {"reply_channel": A, "ids": [1, 2]}) == Cancel(A, (1, 2))
    assert from_old("inference.go", {"reply_channel": A, "id": 1}) == Go(A, 1)


def test_old_replies_are_those_of_a_host():
    entries = [
        {"type": "Started", "id": 1, "batch_size": 2},
        {"type": "Token", "id": 1, "index": 0, "token": 5, "text": "a", "logprob": -0.5, "special": False},
        {
            "type": "Result",
            "id": 1,
            "output": b"{}",
            "queue_ms": 1.0,
            "inference_ms": 2.0,
            "batch_size": 2,
            "generation": {
                "finish_reason": "length",
                "prompt_tokens": 3,
                "generated_tokens": 2,
                "first_token_ms": 1.0,
                "token_ms": 2.0,
                "last": None,
            },
        },
        {"type": "Error", "id": 2, "code": "empty", "message": "No."},
        {"type": "Returned", "id": 3, "reason": "full"},
    ]
    assert from_old("inference.replies", {"worker": W, "entries": entries}) == Replies(
        W,
        (
            Started(1, 2),
            Token(1, 0, 5, "a", -0.5),
            Result(1, b"{}", 1.0, 2.0, 2, Generation("length", 3, 2, 1.0, 2.0, None)),
            Error(2, "empty", "No."),
            Returned(3, "full"),
        ),
    )


def test_an_old_status_is_one_of_a_host_with_one_worker_of_the_same_id():
    host, facts = upgraded(from_old("inference.status", STATUS))
    worker = WorkerStatus(
        worker=W,
        pipeline=DEFAULT_PIPELINE,
        version="5eed",
        state="ready",
        credit=8,
        queue_depth=4,
        share=1.0,
        job_ms=5.0,
        cost=CostModel(1.0, 2.0, 3.0),
        totals=Totals(1, 2, 3, 4),
        facts_n=1,
    )
    assert host == HostStatus(
        host=W,
        channel=f"inference.worker.{W}",
        heard=3,
        state="ready",
        webs=2,
        held=(7, 8),
        workers=(worker,),
    )
    assert facts == Facts(W, W, 1, Description(**DESCRIPTION))


def test_an_old_status_of_a_worker_that_loads_has_no_facts():
    host, facts = upgraded(
        from_old("inference.status", STATUS | {"state": "starting", "description": None, "cost": None, "credit": 0})
    )
    [worker] = host.workers
    assert facts is None
    assert (host.state, worker.state, worker.version, worker.facts_n) == ("starting", "starting", "", 0)


# What the release before understands


@steady
@given(EACH[Hello])
def test_a_hello_is_understood(message: Any):
    assert old_decode(encode(message)) == OldHello(message.reply_channel, message.n)


@steady
@given(st.lists(JOBS, max_size=3).map(tuple), TEXTS)
def test_a_submit_is_understood(jobs: tuple[Job, ...], worker: str):
    understood = old_decode(encode(Submit(A, jobs, worker)))
    assert understood.reply_channel == A
    assert [plain(job) for job in understood.jobs] == [without_news("Job", plain(job)) for job in jobs]


@steady
@given(EACH[Cancel] | EACH[Go])
def test_cancel_and_go_are_understood(message: Any):
    assert plain(old_decode(encode(message))) == plain(message)


@steady
@given(st.lists(ENTRIES, max_size=4).map(tuple))
def test_replies_are_understood(entries: tuple[Any, ...]):
    """All but ``Cleared``, which is not sent to it. It asks for no task whose answers are media."""
    sent = Replies(W, tuple(entry for entry in entries if type(entry).__name__ != "Cleared"))
    understood = old_decode(encode(sent))
    assert understood.worker == W
    assert list(plain(understood.entries)) == [
        without_news(type(entry).__name__, plain(entry)) for entry in sent.entries
    ]


@steady
@given(EACH[HostStatus], EACH[HostStatus], st.none() | DESCRIPTIONS)
def test_a_status_is_understood(host: Any, of_workers: Any, description: Description | None):
    for worker in of_workers.workers:
        understood = old_decode(encode(status_of(host, worker, description)))
        assert plain(understood.description) == (description and without_news("Description", plain(description)))
        totals = without_news("Totals", plain(worker.totals))
        assert (plain(understood.cost), plain(understood.totals)) == (plain(worker.cost), totals)
        assert (understood.worker, understood.channel) == (host.host, host.channel)
        assert (understood.heard, understood.webs, understood.held) == (host.heard, host.webs, host.held)
        assert (understood.queue_depth, understood.job_ms) == (worker.queue_depth, worker.job_ms)
        assert understood.credit == worker.credit


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("starting", "starting"),
        ("ready", "ready"),
        ("failed", "starting"),
        ("unloaded", "starting"),
        ("draining", "draining"),
        ("stopped", "stopped"),
    ],
)
def test_each_state_is_one_that_the_release_before_knows(state: State, said: str):
    [worker] = upgraded(from_old("inference.status", STATUS))[0].workers
    host = HostStatus(host=W, channel="c", heard=1, state="ready", webs=1, held=(), workers=())
    changed = msgspec.structs.replace(worker, state=state)
    assert old_decode(encode(status_of(host, changed, None))).state == said


# There and back


@steady
@given(EACH[Status])
def test_an_old_status_comes_back_as_it_was(status: Any):
    if status.state in ("failed", "unloaded"):  # it has no such states
        return
    host, facts = upgraded(status)
    [worker] = host.workers
    assert decode(encode(host)) == host
    assert status_of(host, worker, facts.description if facts else None) == status
