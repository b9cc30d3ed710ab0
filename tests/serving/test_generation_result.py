from typing import Any

import pytest

from inference.messaging.messages import Generation, Token
from inference.serving.generation_result import GenerationResult, pipeline_output

USER = {"role": "user", "content": "Hello"}
BEGUN = {"role": "assistant", "content": "Once"}


def token(index: int, text: str = "") -> Token:
    return Token(1, index, 100 + index, text, -0.5)


def make_transcript(*texts: str, **fields: Any) -> GenerationResult:
    known: dict[str, Any] = {"given": "a", "began": 10.0, "live": True}
    generation_result = GenerationResult(**(known | fields))
    for index, text in enumerate(texts):
        generation_result.take(token(index, text))
    return generation_result


def test_the_text_is_what_the_tokens_add():
    assert make_transcript(" b", "", " c").text == " b c"
    assert make_transcript().text == ""


def test_what_has_not_ended_is_cancelled():
    assert make_transcript("b").finish_reason == "cancelled"


def test_the_last_token_comes_with_the_end():
    generation_result = make_transcript("b")
    generation_result.finish(Generation("eos_token", 7, 2, 1.0, 1.0, token(1, "c")))
    assert (generation_result.text, generation_result.finish_reason, generation_result.prompt_tokens) == (
        "bc",
        "eos_token",
        7,
    )
    assert [each.index for each in generation_result.tokens] == [0, 1]


def test_times_are_those_of_the_client(monkeypatch: pytest.MonkeyPatch):
    moments = iter([10.5, 10.6, 10.9])
    monkeypatch.setattr("inference.serving.generation_result.time.monotonic", lambda: next(moments))
    generation_result = make_transcript("a", "b", "c", began=10.0)
    assert generation_result.first_token_ms == pytest.approx(500)
    assert generation_result.token_ms == pytest.approx(200)


@pytest.mark.parametrize("texts", [(), ("a",)])
def test_one_token_or_none_has_no_time_between(texts: tuple[str, ...]):
    generation_result = make_transcript(*texts)
    assert generation_result.token_ms == 0
    assert bool(generation_result.first_token_ms) == bool(texts)


@pytest.mark.parametrize(
    ("given", "full_text", "expected"),
    [
        ("a", True, "a b"),
        ("a", False, " b"),
        ([USER], True, [USER, {"role": "assistant", "content": " b"}]),
        ([USER], False, " b"),
        ([USER, BEGUN], True, [USER, {"role": "assistant", "content": "Once b"}]),
    ],
)
def test_the_output_is_that_of_the_pipeline(given: Any, full_text: bool, expected: Any):
    assert pipeline_output(given, " b", full_text=full_text) == [{"generated_text": expected}]


@pytest.mark.parametrize(("full_text", "expected"), [(None, "ab"), (True, "ab"), (False, "b")])
def test_the_prompt_is_in_the_output_unless_it_is_not_wanted(full_text: bool | None, expected: str):
    assert make_transcript("b", full_text=full_text).output() == [{"generated_text": expected}]
