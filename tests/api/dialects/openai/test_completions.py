"""What a completion asks of the service, without one."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from inference.api.dialects.base import Head
from inference.api.dialects.openai.completions import Completions
from inference.api.dialects.openai.errors import UnsupportedField
from inference.errors import Invalid
from inference.serving.query import Query
from inference.testing import FakePipeline

Ask = Callable[..., Query]


@pytest.fixture(scope="module")
def ask(deployment: Any, head: Callable[..., Head]) -> Ask:
    def make(*, task: str = "text-generation", **fields: Any) -> Query:
        body = json.dumps({"prompt": "a text"} | fields).encode()
        return Completions().read(head(), body, deployment).adapted(FakePipeline(task).description)

    return make


@pytest.mark.parametrize(
    ("prompt", "inputs"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ([5, 7], [{"token_ids": [5, 7]}]),
        ([[5, 7], [0]], [{"token_ids": [5, 7]}, {"token_ids": [0]}]),
    ],
)
def test_prompts_are_texts_or_token_ids(ask: Ask, prompt: Any, inputs: list[Any]):
    query = ask(prompt=prompt)
    assert (query.inputs, query.many) == (inputs, len(inputs) > 1)


@pytest.mark.parametrize("prompt", [None, [], [[]], ["a", 5], [True], [[5], "a"], {"a": 1}, 7, [[5], 7]])
def test_other_prompts_are_refused(ask: Ask, prompt: Any):
    with pytest.raises(Invalid, match=r"There is no 'prompt'|'prompt' is .*; it must be a text, a list of token ids"):
        ask(prompt=prompt)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"echo": True, "logprobs": 0}, "'echo' and 'logprobs' together need those of the prompt"),
        ({"echo": True, "prompt": [5]}, "'echo' needs prompts that are texts"),
        ({"logprobs": True}, "'logprobs' is True; it must be a whole number from 0 to 20"),
        ({"task": "summarization", "echo": True}, "Pipeline chat does not continue its prompts"),
        ({"task": "summarization", "prompt": [5]}, "'prompt' has token ids; pipeline chat takes only texts"),
        ({"task": "image-to-text"}, "Pipeline chat serves image-to-text; /v1/completions needs one that writes a text"),
        ({"task": "fill-mask"}, "Pipeline chat serves fill-mask; /v1/completions needs one that writes a text"),
    ],
)
def test_a_refusal_says_what_would_be_right(ask: Ask, fields: dict[str, Any], sentence: str):
    with pytest.raises(Invalid, match=sentence):
        ask(**fields)


@pytest.mark.parametrize("fields", [{"suffix": "x"}, {"best_of": 2}, {"grammars": {}}])
def test_what_is_not_supported_is_refused(ask: Ask, fields: dict[str, Any]):
    with pytest.raises(UnsupportedField) as refused:
        ask(**fields)
    assert refused.value.param in fields


@pytest.mark.parametrize("name", ["echo", "return_full_text"])
def test_the_prompt_may_come_before_the_text(ask: Ask, name: str):
    query = ask(**{name: True})
    assert query.state.echo
    assert query.parameters == {"return_full_text": False, "max_new_tokens": 16}


def test_a_pipeline_that_writes_about_texts_answers_too(ask: Ask):
    query = ask(task="summarization", max_tokens=5, num_beams=2, suffix="", best_of=1)
    assert query.parameters == {"max_new_tokens": 5, "num_beams": 2}
