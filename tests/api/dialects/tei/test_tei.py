"""Requests and errors of text-embeddings-inference."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.api.dialects.tei import DIALECT
from inference.api.dialects.tei.embed import Embed
from inference.api.dialects.tei.endpoint import TEIEndpoint
from inference.api.dialects.tei.predict import Predict
from inference.api.dialects.tei.rerank import Rerank
from inference.api.dialects.tei.similarity import Similarity
from inference.errors import (
    DeadlineExceeded,
    EmptyInput,
    InferenceError,
    InferenceFailed,
    Invalid,
    Loading,
    Overloaded,
    PayloadTooLarge,
)
from inference.serving.context import RequestContext
from tests.api.dialects.asking import read, refusal
from tests.api.dialects.native.test_native import steady
from tests.api.dialects.test_rerank import json_values
from tests.serving.results import make_result

CONTEXT = RequestContext(transport="http", id="r1")
SERVED: list[tuple[TEIEndpoint, str]] = [
    (Embed(), "feature-extraction"),
    (Predict(), "text-classification"),
    (Similarity(), "sentence-similarity"),
    (Rerank(), "text-ranking"),
]


@pytest.mark.parametrize("inputs", ["a", ["a"], ["a", "b"]])
def test_vectors_are_normalized_and_in_a_list(inputs: Any) -> None:
    query = read(Embed(), {"inputs": inputs}, "feature-extraction")
    assert query.parameters == {"pooling": "auto", "normalize": True}
    reply = Embed().reply(CONTEXT, make_result(query, [b"[1.0]"] * len(query.inputs)))
    assert json.loads(reply.body) == [[1.0]] * len(query.inputs)


def test_parameters_of_vectors_are_those_of_the_task() -> None:
    given = {"normalize": False, "dimensions": 3, "prompt_name": "query", "truncate": True, "encoding_format": "base64"}
    query = read(Embed(), {"inputs": "a", "truncation_direction": "Left"} | given, "feature-extraction")
    del given["encoding_format"]
    assert query.parameters == {"pooling": "auto", "truncation_direction": "left"} | given


PAIR = {"text": "a", "text_pair": "b"}


@pytest.mark.parametrize(
    ("inputs", "read_as", "many"),
    [
        ("a", ["a"], False),
        (["a"], ["a"], False),
        (["a", "b"], [PAIR], False),
        ([["a"]], ["a"], True),
        ([["a"], ["a", "b"], "a"], ["a", PAIR, "a"], True),
    ],
)
def test_two_texts_are_a_pair_and_a_batch_has_lists(inputs: Any, read_as: list[Any], many: bool) -> None:
    query = read(Predict(), {"inputs": inputs}, "text-classification")
    assert (query.inputs, query.many) == (read_as, many)
    reply = Predict().reply(CONTEXT, make_result(query, [b"[]"] * len(query.inputs)))
    assert json.loads(reply.body) == ([[]] * len(query.inputs) if many else [])


@pytest.mark.parametrize("inputs", [[], ["a", "b", "c"], [["a", "b", "c"]], [[]], 3, None, [["a"], 3], [3, 4]])
def test_what_is_neither_text_nor_pair_nor_batch_is_refused(inputs: Any) -> None:
    assert refusal(Predict(), {"inputs": inputs}, "text-classification").message.startswith("'inputs' must be a text,")


@pytest.mark.parametrize(("raw", "more"), [(True, {"function_to_apply": "none"}), (False, {}), (None, {})])
def test_all_labels_are_wanted(raw: bool | None, more: dict[str, Any]) -> None:
    query = read(Predict(), {"inputs": "a", "raw_scores": raw, "truncate": None}, "text-classification")
    assert query.parameters == {"top_k": 1000} | more


def test_sentences_have_their_parameters_beside_them() -> None:
    sentences = {"source_sentence": "a", "sentences": ["b"]}
    given = {"inputs": sentences, "parameters": {"truncate": True, "truncation_direction": "Right"}}
    query = read(Similarity(), given, "sentence-similarity")
    assert query.inputs == [sentences]
    assert query.parameters == {"truncate": True, "truncation_direction": "right"}


def test_rerank_takes_texts_or_documents() -> None:
    texts = read(Rerank(), {"query": "q", "texts": ["a"], "return_text": True}, "text-ranking")
    documents = read(Rerank(), {"query": "q", "documents": ["a"]}, "text-ranking")
    assert texts.inputs == documents.inputs == [{"query": "q", "texts": ["a"]}]
    assert texts.parameters == {"return_text": True}
    ranking = b'[{"index":0,"score":0.5}]'
    assert Rerank().reply(CONTEXT, make_result(texts, [ranking])).body == ranking
    [best] = json.loads(Rerank().reply(CONTEXT, make_result(documents, [ranking])).body)["results"]
    assert best == {"index": 0, "relevance_score": 0.5, "document": {"text": "a"}}


@pytest.mark.parametrize(("endpoint", "task"), SERVED)
def test_another_task_and_another_field_are_refused(endpoint: TEIEndpoint, task: str) -> None:
    example = json.loads(endpoint.example)
    assert read(endpoint, example, task)
    needs = f"{endpoint.path} needs one that {endpoint.needs}."
    for other in {"fill-mask", *(each for _, each in SERVED)} - {task}:
        assert refusal(endpoint, example, other).message == f"This pipeline serves {other}; {needs}"
    assert refusal(endpoint, example | {"extra": 1}, task).message.startswith("There is no field 'extra'; known are: ")
    assert refusal(endpoint, b"{}", task).message.startswith(f"There is no '{endpoint.required[0]}'; send an object")
    assert refusal(endpoint, b"", task).status == 400


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (EmptyInput("a."), 400, "Empty"),
        (Invalid("a."), 422, "Validation"),
        (PayloadTooLarge("a."), 413, "Validation"),
        (InferenceFailed("a."), 424, "Backend"),
        (Overloaded("a.", retry_after_s=2), 429, "Overloaded"),
        (Loading("a."), 503, "Unhealthy"),
        (DeadlineExceeded("a."), 504, "Backend"),
    ],
)
def test_errors_have_its_status_and_kind(error: InferenceError, status: int, kind: str) -> None:
    reply = DIALECT.error(CONTEXT, error)
    assert (reply.status, json.loads(reply.body)) == (status, {"error": "a.", "error_type": kind})
    assert ((b"retry-after", b"2") in reply.headers) == (error.retry_after_s == 2)


@steady
@given(st.sampled_from(SERVED), st.data())
def test_any_object_is_read_or_refused(served: tuple[TEIEndpoint, str], data: st.DataObject) -> None:
    endpoint, task = served
    names = st.sampled_from([*endpoint.required, *endpoint.optional, "model", "documents"])
    fields = data.draw(st.dictionaries(names, json_values))
    with suppress(EmptyInput, Invalid):
        read(endpoint, json.loads(endpoint.example) | fields, task)
