from typing import Any

import pytest

from inference.messaging.messages import Generation, Token
from inference.serving.generation_result import GenerationResult, pipeline_output

USER = {"role": "user", "content": "Hello"}
BEGUN = {"role": "assistant", "content": "Once"}


def token(index: int, text: str = "") -> Token:
    return Token(1, index, 100 + index, text, -0.5)


def make_generation(*texts: str, **fields: Any) -> GenerationResult:
    known: dict[str, Any] = {"given": "a", "began": 10.0}
    generation = GenerationResult(**(known | fields))
    for index, text in enumerate(texts):
        generation.take(token(index, text))
    return generation


def test_the_text_is_what_the_tokens_add():
    assert make_generation(" b", "", " c").text == " b c"
    assert make_generation().text == ""


def test_what_has_not_ended_is_cancelled():
    assert make_generation("b").finish_reason == "cancelled"


def test_the_last_token_comes_with_the_end():
    generation = make_generation("b")
    generation.finish(Generation("eos_token", 7, 2, 1.0, 1.0, token(1, "c")))
    assert (generation.text, generation.finish_reason, generation.prompt_tokens) == (
        "bc",
        "eos_token",
        7,
    )
    assert [each.index for each in generation.tokens] == [0, 1]


def test_times_are_those_of_the_client(monkeypatch: pytest.MonkeyPatch):
    moments = iter([10.5, 10.6, 10.9])
    monkeypatch.setattr("inference.serving.generation_result.time.monotonic", lambda: next(moments))
    generation = make_generation("a", "b", "c", began=10.0)
    assert generation.first_token_ms == pytest.approx(500)
    assert generation.token_ms == pytest.approx(200)


@pytest.mark.parametrize("texts", [(), ("a",)])
def test_one_token_or_none_has_no_time_between(texts: tuple[str, ...]):
    generation = make_generation(*texts)
    assert generation.token_ms == 0
    assert bool(generation.first_token_ms) == bool(texts)


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


@pytest.mark.parametrize(("full_text", "expected"), [(True, "ab"), (False, "b")])
def test_the_prompt_is_in_the_output_if_it_is_wanted(full_text: bool, expected: str):
    assert make_generation("b").output(full_text=full_text) == [{"generated_text": expected}]


def test_a_task_that_does_not_continue_its_input_names_its_own_field():
    generation = make_generation("b", text_field="summary_text", continues=False)
    assert generation.output(full_text=True) == generation.output(full_text=False) == [{"summary_text": "b"}]


def test_of_token_ids_only_the_new_text_is_known():
    assert pipeline_output({"token_ids": [5]}, "b", full_text=True) == [{"generated_text": "b"}]
