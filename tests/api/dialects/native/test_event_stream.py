"""Server-sent events, as the stock client's own parser reads them."""

import json
from dataclasses import replace
from typing import Any

import pytest
from huggingface_hub.errors import OverloadedError, TextGenerationError, ValidationError
from huggingface_hub.inference._common import _format_text_generation_stream_output as read_event

from inference.api.dialects.native import answers, event_stream
from inference.errors import DeadlineExceeded, InferenceError, Invalid, Overloaded
from inference.messaging.messages import Generation, Token
from inference.serving.context import RequestContext
from inference.serving.generation_result import GenerationResult
from inference.serving.query import Query
from inference.serving.result import RequestResult
from tests.serving.results import make_result, outcomes
from tests.serving.test_generation_result import make_generation, token

USER = {"role": "user", "content": "Hello"}


def line(event: bytes) -> str:
    """The one line of an event, which an empty line ends."""
    text = event.decode()
    assert text.endswith("\n\n")
    assert text.count("\n") == 2
    return text.strip()


def test_a_token_is_read_by_the_stock_client():
    written = event_stream.write_token(Token(9, 0, 17, "é\n", -0.25, special=True))
    assert read_event(line(written), details=False) == "é\n"
    output: Any = read_event(line(written), details=True)
    assert (output.index, output.generated_text, output.details) == (1, None, None)
    assert output.token == {"id": 17, "text": "é\n", "logprob": -0.25, "special": True}


def test_the_likeliest_tokens_are_told_if_there_are_any():
    told = Token(9, 0, 17, "b", -0.25, top=((17, "b", -0.25), (4, " c", -1.5)))
    output: Any = read_event(line(event_stream.write_token(told)), details=True)
    tops = [{"id": 17, "text": "b", "logprob": -0.25}, {"id": 4, "text": " c", "logprob": -1.5}]
    assert [{name: each[name] for name in ("id", "text", "logprob")} for each in output.top_tokens] == tops
    generation = make_generation()
    generation.take(told)
    [written] = json.loads(answers.write_details(generation, b'[{"generated_text": "b"}]'))
    assert written["details"]["top_tokens"] == [tops]
    assert written["details"]["tokens"] == [{"id": 17, "text": "b", "logprob": -0.25, "special": False}]


WRITER = event_stream.EventWriter(RequestContext(transport="http", id="r"))


def finished(**fields: Any) -> GenerationResult:
    generation = make_generation(" b", seed=5, **fields)
    generation.finish(Generation("stop_sequence", 3, 2, 1.0, 1.0, token(1, " c")))
    return generation


def result(generation: GenerationResult, **parameters: Any) -> RequestResult:
    query = Query(inputs=["a"], many=False, parameters=parameters, stream=True, tokens_for="stream")
    return make_result(query, generation=generation)


@pytest.mark.parametrize(
    ("given", "parameters", "text"),
    [
        ("a", {}, " b c"),
        ("a", {"return_full_text": False}, " b c"),
        ("a", {"return_full_text": True}, "a b c"),
        ([USER], {}, " b c"),
    ],
    ids=str,
)
def test_the_last_event_has_the_text_and_how_it_ended(given: Any, parameters: Any, text: str):
    written = WRITER.end(result(finished(given=given), **parameters))
    output: Any = read_event(line(written), details=True)
    assert output.index == 2
    assert output.token.text == " c"
    assert output.generated_text == text
    assert output.details == {
        "finish_reason": "stop_sequence",
        "generated_tokens": 2,
        "seed": 5,
        "input_length": 3,
    }


def test_what_token_ids_say_is_known_to_the_worker():
    answered = result(finished(given={"token_ids": [5]}), return_full_text=True)
    answered = replace(answered, outcomes=outcomes(b'[{"generated_text": "the prompt b c"}]'))
    output: Any = read_event(line(WRITER.end(answered)), details=True)
    assert output.generated_text == "the prompt b c"


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (Overloaded("Later."), OverloadedError),
        (Invalid("No."), ValidationError),
        (DeadlineExceeded("Late."), TextGenerationError),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_is_raised_by_the_stock_client(error: InferenceError, raised: type[Exception]):
    with pytest.raises(raised, match=error.message):
        read_event(line(WRITER.error(error)), details=True)


def test_details_are_put_beside_the_pipelines_answer():
    written = json.loads(answers.write_details(finished(), b'[{"generated_text": "a b c"}]'))
    assert written[0]["generated_text"] == "a b c"
    details = written[0]["details"]
    assert (details["finish_reason"], details["generated_tokens"], details["seed"]) == ("stop_sequence", 2, 5)
    assert [each["text"] for each in details["tokens"]] == [" b", " c"]
    assert details["prefill"] == []
    assert "top_tokens" not in details


def test_headers_keep_proxies_from_collecting():
    headers = dict(WRITER.headers)
    assert headers[b"content-type"] == b"text/event-stream"
    assert (headers[b"cache-control"], headers[b"x-accel-buffering"]) == (b"no-cache", b"no")
    assert headers[b"x-request-id"] == b"r"
    assert not [name for name in headers if name.endswith(b"-time")]
