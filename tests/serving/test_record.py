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
