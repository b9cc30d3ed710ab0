"""What the request log and usage are told of a request."""

from typing import Any

import msgspec
import pytest

from inference.access.principal import Principal
from inference.errors import Cancelled, InferenceError, Overloaded, PayloadTooLarge
from inference.messaging.messages import Generation, Result
from inference.request_log.entry import Entry
from inference.scheduling.calls import Answer
from inference.serving.context import RequestContext
from inference.serving.query import Query
from inference.serving.record import RequestRecord
from tests.scheduling.test_host_registry import DESCRIPTION
from tests.serving.test_generation_result import make_generation, token

ACME = Principal(owner="acme", key="a1B2c3D4", name="nightly")
CONTEXT = RequestContext(transport="http", principal=ACME, dialect="openai")
RESULT = Result(0, b"{}", 1.0, 30.0, 3, tokens=7)


def entry_of(*results: Result, error: InferenceError | None = None, **fields: Any) -> Entry:
    answers = [Answer(result, "w", waited_ms=0.0, times_sent=1) for result in results]
    query = Query(inputs=["a text"] * len(answers), many=True)
    return RequestRecord(CONTEXT, "chat", query=query, answers=answers, **fields).entry(error, "none")


def test_who_asked_and_by_which_route():
    entry = entry_of(RESULT)
    assert (entry.owner, entry.key, entry.key_name, entry.dialect) == ("acme", "a1B2c3D4", "nightly", "openai")


def test_tokens_are_counted_with_their_part_of_the_padding():
    read = msgspec.structs.replace(RESULT, tokens=6, padding=0.25)
    entry = entry_of(read, read, msgspec.structs.replace(RESULT, tokens=0))
    assert (entry.tokens, entry.computed_tokens) == (12, 16.0)


def test_units_are_those_of_all_answers():
    generation = Generation("length", 7, 5, 1.0, 1.0, None)
    assert entry_of(RESULT, msgspec.structs.replace(RESULT, generation=generation)).units == 7 + 12


def test_model_time_is_what_workers_say_of_each_answer():
    assert entry_of(*[msgspec.structs.replace(RESULT, model_ms=share) for share in (4.0, 0.5)]).model_ms == 4.5


def test_a_worker_of_the_release_before_says_only_how_long_the_batch_took():
    assert entry_of(RESULT).model_ms == 10.0


@pytest.mark.parametrize("error", [Overloaded("Full."), Cancelled("Gone.")])
def test_what_was_not_computed_has_no_units(error: InferenceError):
    entry = entry_of(error=error)
    assert (entry.units, entry.model_ms) == (0, None)


def test_answers_that_were_too_large_were_computed_all_the_same():
    entry = entry_of(RESULT, error=PayloadTooLarge("The answer is too large."))
    assert (entry.status, entry.units, entry.model_ms) == ("refused", 7, 10.0)


def test_a_stream_that_was_cut_has_the_tokens_that_its_client_got():
    """And the prompt of a text that was complete; that of another one is not known here."""
    complete = make_generation("a")
    complete.finish(Generation("eos_token", 7, 2, 1.0, 1.0, token(1, "b")))
    assert entry_of(error=Cancelled("Gone."), generations=[complete, make_generation("a", "b", "c")]).units == 9 + 3


def test_the_moments_are_those_of_the_first_input():
    first, later = RESULT, msgspec.structs.replace(RESULT, queue_ms=5.0)
    answers = [Answer(later, "w", waited_ms=2.0, times_sent=1), Answer(first, "w", waited_ms=0.5, times_sent=1)]
    entry = RequestRecord(CONTEXT, "chat", answers=answers, admitted_ms=10.0).entry(None, "none")
    assert (entry.admitted_ms, entry.sent_ms, entry.started_ms, entry.first_token_ms) == (10.0, 10.5, 11.5, None)


def test_the_first_token_is_that_which_the_client_saw_or_of_which_the_worker_told():
    told = msgspec.structs.replace(RESULT, generation=Generation("length", 7, 5, 20.0, 1.0, None))
    assert entry_of(told, admitted_ms=10.0).first_token_ms == 30.0
    seen = make_generation("a")
    seen.began, seen.first_at = 1.0, 1.25
    assert entry_of(told, admitted_ms=10.0, generations=[seen]).first_token_ms == 250.0


def test_a_request_that_was_not_answered_has_no_moments_of_a_worker():
    entry = entry_of(error=Overloaded("Full."), admitted_ms=10.0)
    assert (entry.admitted_ms, entry.sent_ms, entry.started_ms) == (10.0, None, None)
    assert entry_of(error=Overloaded("Full.")).admitted_ms is None


def test_trace_and_repeated_request_are_those_of_the_context():
    context = RequestContext(transport="http", traceparent=f"00-{'a' * 32}-{'b' * 16}-01", again_of="r1")
    entry = RequestRecord(context).entry(None, "none")
    assert (entry.trace_id, entry.again_of) == ("a" * 32, "r1")
    assert (entry_of().trace_id, entry_of().again_of) == (None, None)


@pytest.mark.parametrize(
    ("given", "seed", "kept"),
    [
        (None, None, ""),
        ({"top_k": 2}, None, '{"top_k":2}'),
        (None, 7, '{"seed":7}'),
        ({"do_sample": True}, 7, '{"do_sample":true,"seed":7}'),
    ],
)
def test_parameters_are_kept_with_the_seed_that_was_drawn(given: Any, seed: int | None, kept: str):
    query = Query(inputs=["a text"], many=False, parameters=given)
    entry = RequestRecord(CONTEXT, query=query, seed=seed).entry(None, "full")
    assert (entry.preview, entry.parameters, entry.complete) == ('["a text"]', kept, True)
    assert RequestRecord(CONTEXT, query=query, seed=seed).entry(None, "none").parameters == ""


def test_media_are_not_kept_so_the_request_is_not_complete():
    description = msgspec.structs.replace(DESCRIPTION, task="image-classification")
    query = Query(inputs=["aGFsbG8="], many=False)
    entry = RequestRecord(CONTEXT, query=query, description=description).entry(None, "full")
    assert (entry.preview, entry.complete) == ('["(base64, 8 bytes)"]', False)


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"output": b'"a word"'}, '"a word"'),
        ({"output": b"x" * 24, "shape": (2, 3)}, "(float32, 2 × 3)"),
        ({"output": b"RIFF0000WAVE", "media_type": "audio/wav"}, "(audio/wav, 12 bytes)"),
    ],
)
def test_the_beginning_of_the_answer_is_kept_where_inputs_are(fields: dict[str, Any], kept: str):
    answer = Answer(msgspec.structs.replace(RESULT, **fields), "w", waited_ms=0.0, times_sent=1)
    record = RequestRecord(CONTEXT, answers=[answer])
    assert [record.entry(None, mode).answer for mode in ("none", "preview", "full")] == ["", kept, kept]


def test_of_a_text_that_was_cancelled_its_beginning_is_kept():
    entry = RequestRecord(CONTEXT, generations=[make_generation("Once", " upon")]).entry(Cancelled("Gone."), "preview")
    assert entry.answer == '"Once upon"'
