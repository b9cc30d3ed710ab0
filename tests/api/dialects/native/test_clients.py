"""What is done for the clients of Hugging Face: requests in, answers out, by the task that is served."""

import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from inference.api.dialects.base import Head
from inference.api.dialects.native.http import NativeEndpoint
from inference.conf import Conf
from inference.errors import InferenceError, Invalid
from inference.serving.query import Query
from inference.serving.validation import validate_inputs, validate_parameters
from inference.tasks import TASKS
from inference.tasks.media import EXAMPLE_IMAGE, Media
from inference.testing import FakePipeline
from tests.serving.results import make_result

DEPLOYMENT: Any = SimpleNamespace(conf=Conf())
CONTEXT: Any = SimpleNamespace(id="0123abcd")
JAVASCRIPT = "@huggingface/inference/4.13.30"
PNG = b"\x89PNG\r\n\x1a\n"
PYTHON = "unknown/None; hf_hub/2.4.0"
LABELS: dict[str, Any] = {"candidate_labels": ["a", "b"]}


def description(task: str) -> Any:
    return FakePipeline(task).description


def read(task: str, body: Any, *, agent: str = PYTHON, query: str = "", kind: str = "application/json") -> Query:
    """A request to a pipeline of this task, as it is when inputs and parameters are validated."""
    headers = {b"content-type": kind, b"user-agent": agent}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = Head("POST", "/", lambda name: headers.get(name, ""), query=query)
    return NativeEndpoint().read(head, content, DEPLOYMENT).adapted(description(task))


def answered(task: str, output: Any, body: Any = None, **sent: Any) -> Any:
    """What a client gets for what the pipeline returns; to a list of inputs, for each of them."""
    query = read(task, {"inputs": "a"} if body is None else body, **sent)
    outputs = [msgspec.json.encode(output)] * len(query.inputs)
    result = make_result(query, outputs, description=description(task))
    return json.loads(NativeEndpoint().reply(CONTEXT, result).body)


# Answers

SCORES = [{"label": "a", "score": 0.9}, {"label": "b", "score": 0.1}]
ZERO_SHOT = {"sequence": "s", "labels": ["a", "b"], "scores": [0.9, 0.1]}
CELLS = {"answer": "1", "coordinates": [[0, 0]], "cells": ["1"]}
TEXT = [{"generated_text": "a boat"}]


@pytest.mark.parametrize(
    ("task", "output", "expected"),
    [
        ("text-classification", SCORES, [SCORES]),
        ("text-classification", SCORES[0], [SCORES[:1]]),
        ("image-classification", SCORES, SCORES),
        ("audio-classification", SCORES, SCORES),
        ("zero-shot-image-classification", SCORES, SCORES),
        ("zero-shot-classification", ZERO_SHOT, SCORES),
        ("zero-shot-classification", ZERO_SHOT | {"labels": ["a"], "scores": [None]}, [{"label": "a", "score": None}]),
        ("table-question-answering", CELLS, CELLS | {"aggregator": "NONE"}),
        ("table-question-answering", CELLS | {"aggregator": "SUM"}, CELLS | {"aggregator": "SUM"}),
        ("question-answering", {"answer": "a"}, {"answer": "a"}),
        ("summarization", [{"summary_text": "a"}], [{"summary_text": "a"}]),
        ("image-to-text", TEXT, TEXT),
        ("fill-mask", [{"token": 1}], [{"token": 1}]),
        ("feature-extraction", [0.5], [0.5]),
    ],
)
def test_an_answer_is_of_the_shape_that_clients_read(task: str, output: Any, expected: Any):
    assert answered(task, output) == expected


@pytest.mark.parametrize(
    ("task", "output", "expected"),
    [
        ("text-classification", SCORES, SCORES),
        ("text-classification", SCORES[0], SCORES[:1]),
        ("zero-shot-classification", ZERO_SHOT, SCORES),
        ("translation", [{"translation_text": "a"}], {"translation_text": "a"}),
        ("text-generation", TEXT, TEXT),
        ("feature-extraction", [0.5], [0.5]),
    ],
)
def test_a_list_of_inputs_has_one_answer_for_each(task: str, output: Any, expected: Any):
    for number in (1, 2):
        assert answered(task, output, {"inputs": ["a"] * number}) == [expected] * number


def test_what_huggingface_js_reads_otherwise():
    image = {"body": PNG, "kind": "image/png"}
    assert answered("image-to-text", TEXT, agent=JAVASCRIPT, **image) == TEXT[0]
    assert answered("image-to-text", TEXT, **image) == TEXT
    one = {"inputs": ["a"], "parameters": LABELS}
    assert answered("zero-shot-classification", ZERO_SHOT, one, agent=JAVASCRIPT) == SCORES
    assert answered("zero-shot-classification", ZERO_SHOT, one) == [SCORES]


@pytest.mark.parametrize(
    ("body", "sent"),
    [(b"a text", {"kind": "text/plain"}), (b"a text", {"kind": ""}), ({"inputs": "a"}, {"query": "format=pipeline"})],
    ids=["text", "unknown", "format"],
)
def test_texts_get_the_own_answer_of_the_pipeline_and_json_on_request(body: Any, sent: dict[str, Any]):
    assert answered("zero-shot-classification", ZERO_SHOT, body, **sent) == ZERO_SHOT
    assert read("token-classification", body, **sent).parameters is None


@pytest.mark.parametrize("value", ["", "json", "Pipeline"])
def test_another_format_is_refused(value: str):
    with pytest.raises(Invalid, match=f"^format is '{value}'; it must be pipeline, or be left out\\.$"):
        read("fill-mask", {"inputs": "a"}, query=f"format={value}&more=1")


# Parameters

GREEDY = {"do_sample": False}


@pytest.mark.parametrize(
    ("task", "given", "expected"),
    [
        ("token-classification", None, {"aggregation_strategy": "simple"}),
        ("token-classification", {"aggregation_strategy": "none"}, {"aggregation_strategy": "none"}),
        ("feature-extraction", {}, {"pooling": "auto"}),
        ("feature-extraction", {"pooling": "none"}, {"pooling": "none"}),
        ("fill-mask", {"top_k": 2, "targets": None, "model": "http://here/"}, {"top_k": 2}),
        (
            "table-question-answering",
            {"padding": "longest", "sequential": True, "truncation": True},
            {"truncate": True},
        ),
        ("document-question-answering", {"lang": "en", "max_question_len": 9, "top_k": 2}, {"top_k": 2}),
        ("question-answering", {"max_question_len": 9}, {"max_question_len": 9}),
        ("text-generation", None, GREEDY),
        ("text-generation", {"watermark": False, "best_of": 1, "stop": [], "typical_p": 0.95}, GREEDY),
        ("text-generation", {"temperature": 1, "top_p": 1.0}, {"temperature": 1, "top_p": 1.0, "do_sample": False}),
        ("text-generation", {"temperature": 0.5}, {"temperature": 0.5, "do_sample": True}),
        ("text-generation", {"top_k": 5, "do_sample": False}, {"top_k": 5, "do_sample": False}),
        ("text-generation", {"stop_sequences": ["."]}, {"stop": ["."], "do_sample": False}),
        ("summarization", {"top_k": 5, "num_beams": 2}, {"top_k": 5, "num_beams": 2, "do_sample": False}),
        ("summarization", {"generate_parameters": {"do_sample": True}}, {"generate_parameters": {"do_sample": True}}),
        (
            "translation",
            {"generate_parameters": {"top_k": 5}},
            {"generate_parameters": {"top_k": 5}, "do_sample": True},
        ),
    ],
    ids=str,
)
def test_parameters_are_those_of_the_task_with_the_defaults_of_clients(task: str, given: Any, expected: Any):
    adapted = read(task, {"inputs": "a", "parameters": given}).parameters
    assert adapted == expected
    validate_parameters(description(task), adapted)


@pytest.mark.parametrize(
    ("task", "given"),
    [
        ("fill-mask", {"padding": True}),
        ("question-answering", {"lang": "en"}),
        ("text-generation", {"best_of": 2}),
        ("text-generation", {"watermark": 0}),
        ("text-generation", {"typical_p": 0.95, "do_sample": True}),
        ("text-generation", {"stop": [[]]}),
        ("table-question-answering", {"truncation": "yes"}),
        ("text-classification", [1]),
        ("text-generation", "a"),
    ],
    ids=str,
)
def test_what_a_task_cannot_do_is_still_refused(task: str, given: Any):
    query = read(task, {"inputs": "a", "parameters": given})
    with pytest.raises(Invalid):
        validate_parameters(description(task), query.parameters)


# Inputs, and what is beside them


def test_parameters_of_vectors_are_beside_the_inputs():
    body = {"inputs": ["a", "b"], "normalize": True, "dimensions": 2, "truncate": None, "encoding_format": "base64"}
    query = read("feature-extraction", body)
    assert query.inputs == ["a", "b"]
    assert query.parameters == {"normalize": True, "dimensions": 2, "pooling": "auto"}
    assert read("image-feature-extraction", {"inputs": "a", "pool": True}).parameters == {"pool": True}
    for also in ({}, {"normalize": False}):
        twice = {"inputs": "a", "normalize": True, "parameters": {"pooling": "mean", **also}}
        assert read("feature-extraction", twice).parameters == {"normalize": True, "pooling": "mean", **also}


def test_a_question_about_an_image_is_in_the_inputs_or_beside_them():
    whole = {"image": EXAMPLE_IMAGE, "question": "what?"}
    for body in (
        {"inputs": whole},
        {"inputs": EXAMPLE_IMAGE, "question": "what?", "image": EXAMPLE_IMAGE, "parameters": {}},
        {"inputs": EXAMPLE_IMAGE, "question": "what?"},
    ):
        query = read("visual-question-answering", body)
        assert query.inputs == [whole]
        validate_inputs(description("visual-question-answering"), query.inputs)


def test_an_image_alone_may_come_in_an_object():
    body = {"inputs": {"image": EXAMPLE_IMAGE}, "parameters": LABELS}
    assert read("zero-shot-image-classification", body).inputs == [EXAMPLE_IMAGE]
    with pytest.raises(Invalid):
        validate_inputs(
            description("image-classification"), read("image-classification", {"inputs": {"audio": "a"}}).inputs
        )


@pytest.mark.parametrize(
    ("task", "more", "words"),
    [
        ("fill-mask", {"normalize": True}, "There is no field 'normalize' for fill-mask; known are: inputs"),
        ("feature-extraction", {"encoding_format": "int8"}, "'encoding_format' must be one of float, base64"),
        ("visual-question-answering", {"normalize": True}, "Send image and question in 'inputs', or"),
        ("text-classification", {"question": "who?"}, "There is no field 'question' for text-classification"),
        ("fill-mask", {"input": "a"}, "There is no field 'input'; known are"),
    ],
)
def test_a_field_of_another_task_is_refused(task: str, more: dict[str, Any], words: str):
    with pytest.raises(Invalid) as raised:
        read(task, {"inputs": "a", **more})
    assert raised.value.message.startswith(words)


def test_media_keep_their_bytes_and_type():
    query = read("image-to-text", b"\x89PNG", kind="image/png")
    assert query.inputs == [Media(b"\x89PNG", "image/png")]


@pytest.mark.parametrize("task", TASKS)
def test_anything_beside_the_inputs_is_a_query_or_an_error(task: str):
    names = ("question", "image", "normalize", "encoding_format", "pool", "truncate", "chunk")
    values: list[Any] = [None, [], {}, "a", 1, [[[]]], {"a": 1}]
    some_inputs: list[Any] = ["a", ["a", "b"], [], {"image": "a"}, None, [{}]]
    some_parameters: list[Any] = [None, [], {"a": 1}]
    for name in names:
        for value in values:
            for inputs in some_inputs:
                for parameters in some_parameters:
                    try:
                        query = read(task, {"inputs": inputs, name: value, "parameters": parameters})
                    except InferenceError:
                        continue
                    assert len(query.inputs) == (len(inputs) if isinstance(inputs, list) else 1)
