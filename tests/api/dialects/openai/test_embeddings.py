"""What a request for embeddings asks of the service, and its answer, without one."""

import base64
import json
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.api.dialects.base import Head
from inference.api.dialects.openai.embeddings import Embeddings
from inference.api.dialects.openai.errors import InvalidField
from inference.errors import Invalid
from inference.messaging.messages import Result
from inference.serving.context import RequestContext
from inference.serving.query import Query
from inference.serving.result import Outcome
from inference.testing import FakePipeline
from tests.api.dialects.native.test_native import steady
from tests.api.dialects.test_rerank import json_values
from tests.serving.results import make_result

Ask = Callable[..., Query]
VECTOR = (0.5, -2.0)
PACKED = struct.pack("<2f", *VECTOR)


@pytest.fixture(scope="module")
def ask(deployment: Any, head: Callable[..., Head]) -> Ask:
    def make(*, task: str = "feature-extraction", **fields: Any) -> Query:
        body = json.dumps({"input": "a text"} | fields).encode()
        return Embeddings().read(head(), body, deployment).adapted(FakePipeline(task).description)

    return make


def answered(query: Query, *results: Result) -> dict[str, Any]:
    result = make_result(query, outcomes=[Outcome(each) for each in results])
    answer: dict[str, Any] = json.loads(Embeddings().reply(RequestContext(transport="http"), result).body)
    return answer


def test_a_vector_has_length_1_unless_that_is_not_wanted(ask: Ask):
    assert ask().parameters == {"pooling": "auto", "normalize": True}
    own = {"dimensions": 3, "normalize": False, "pooling": "cls", "truncate": True}
    assert ask(**own, user="me").parameters == own


@pytest.mark.parametrize(("given", "inputs"), [("a", ["a"]), (["a"], ["a"]), (["a", "b"], ["a", "b"])])
def test_one_text_or_several(ask: Ask, given: Any, inputs: list[str]):
    assert ask(input=given).inputs == inputs


@pytest.mark.parametrize(
    ("fields", "param", "sentence"),
    [
        ({"input": None}, "input", "There is no 'input'; send an object such as"),
        ({"input": []}, "input", "'input' is an empty list; send a text or a list of texts."),
        ({"input": " "}, "input", "'input' is ' '; it must be a text that is not empty."),
        ({"input": ["a", ""]}, "input", "'input[1]' is ''; it must be a text that is not empty."),
        ({"input": {"text": "a"}}, "input", "'input' is {'text': 'a'}; it must be a text that is not empty."),
        ({"input": [5, 7]}, "input", "'input' has token ids, "),
        ({"input": [[5, 7], [9]]}, "input", "'input' has token ids, "),
        (
            {"encoding_format": "int8"},
            "encoding_format",
            "'encoding_format' is 'int8'; it must be one of float,",
        ),
        ({"dimensions": 0}, "dimensions", "'dimensions' is 0; it must be a whole number from 1 to"),
        ({"pooling": "none"}, "pooling", "'pooling' is none, which gives many vectors for a text; leave it out."),
        ({"modality": "text"}, "modality", "'modality' is not supported here; leave it out."),
        ({"task": "fill-mask"}, "model", "serves fill-mask; /v1/embeddings needs one that makes vectors of texts."),
        ({"task": "image-feature-extraction"}, "model", "/v1/embeddings needs one that makes vectors of texts."),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_refusal_names_the_field(ask: Ask, fields: dict[str, Any], param: str, sentence: str):
    with pytest.raises(InvalidField) as raised:
        ask(**fields)
    assert raised.value.param == param
    assert sentence in raised.value.message


def test_floats_are_those_of_the_worker(ask: Ask):
    results = [Result(n, b"[0.5,-2.0]", 0.0, 0.0, 1, tokens=4) for n in range(2)]
    assert answered(ask(input=["a", "b"]), *results) == {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": [*VECTOR]} for index in range(2)],
        "model": "default",
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }


@pytest.mark.parametrize("result", [{"output": PACKED, "shape": (2,)}, {"output": b"[0.5,-2.0]"}])
def test_base64_is_the_array_of_a_worker_or_what_an_older_one_answers(ask: Ask, result: dict[str, Any]):
    query = ask(encoding_format="base64")
    assert query.arrays
    [only] = answered(query, Result(id=0, queue_ms=0.0, inference_ms=0.0, batch_size=1, **result))["data"]
    assert base64.b64decode(only["embedding"]) == PACKED


@steady
@given(st.dictionaries(st.sampled_from(["input", "model", "encoding_format", "dimensions", "user"]), json_values))
def test_any_object_is_read_or_refused(ask: Ask, fields: dict[str, Any]):
    with suppress(Invalid):
        ask(**fields | {"model": None})
