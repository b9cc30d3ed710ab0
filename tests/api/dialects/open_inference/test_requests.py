import gzip
import json
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import (
    InferenceError,
    Invalid,
    Malformed,
    NotFound,
    PayloadTooLarge,
    UnsupportedMediaType,
)
from inference.tasks import TASKS
from inference.tasks.media import Media
from tests.api.dialects.open_inference.reading import MOST_BODY_BYTES, SERVED, describe, infer, read, refusal, tensor

TEXT = {"inputs": [tensor("text", "a")]}
PNG = b"\x89PNG\r\n\x1a\n\xff"


def binary(*tensors: tuple[str, str, list[int], bytes], **fields: Any) -> tuple[bytes, str]:
    """A body with bytes after its JSON, and the size of the JSON."""
    inputs = [
        {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(data)}}
        for name, datatype, shape, data in tensors
    ]
    text = json.dumps({"inputs": inputs} | fields).encode()
    return text + b"".join(data for *_, data in tensors), str(len(text))


def elements(*values: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


# Which inputs and parameters the tensors are


@pytest.mark.parametrize("name", ["args", "array_inputs", "inputs", "text_inputs", "text", "anything"])
def test_the_elements_of_one_tensor_are_the_inputs(name: str):
    assert infer("text-classification", tensor(name, "a", "é")).inputs == ["a", "é"]


@pytest.mark.parametrize(("shape", "data"), [([2], ["a", "b"]), ([2, 1], [["a"], ["b"]]), ([1, 2], ["a", "b"])])
def test_elements_may_be_nested(shape: list[int], data: Any):
    query = read({"inputs": [tensor("text") | {"shape": shape, "data": data}]})
    assert query.inputs == ["a", "b"]


@pytest.mark.parametrize(
    ("task", "tensors", "inputs"),
    [
        (
            "question-answering",
            [tensor("question", "q", "r"), tensor("context", "c", "d")],
            [{"question": "q", "context": "c"}, {"question": "r", "context": "d"}],
        ),
        ("text-classification", [tensor("text", "a"), tensor("text_pair", "b")], [{"text": "a", "text_pair": "b"}]),
        ("text-ranking", [tensor("query", "q"), tensor("texts", "a", "b")], [{"query": "q", "texts": ["a", "b"]}]),
        (
            "sentence-similarity",
            [tensor("source_sentence", "q"), tensor("sentences", "a")],
            [{"source_sentence": "q", "sentences": ["a"]}],
        ),
        (
            "table-question-answering",
            [tensor("query", "q"), tensor("table", '{"a": ["1"]}')],
            [{"query": "q", "table": {"a": ["1"]}}],
        ),
        ("table-question-answering", [tensor("array_inputs", '{"query": "q"}')], [{"query": "q"}]),
        ("decision", [tensor("state", "[s"), tensor("questions", "{}")], [{"state": "[s", "questions": {}}]),
        ("question-answering", [tensor("question", "q")], [{"question": "q"}]),
        ("image-text-to-text", [tensor("inputs", '[{"role": "user"}]')], [[{"role": "user"}]]),
        (
            "text-generation",
            [tensor("inputs", '[{"role": "user"}]', parameters={"content_type": "hg_jsonlist"})],
            [[{"role": "user"}]],
        ),
        ("text-generation", [tensor("inputs", '[{"role": "user"}]')], ['[{"role": "user"}]']),
        ("image-classification", [tensor("inputs", "aaaa")], ["aaaa"]),
    ],
)
def test_tensors_are_inputs_in_the_form_of_the_task(task: str, tensors: list[Any], inputs: list[Any]):
    assert infer(task, *tensors).inputs == inputs


@pytest.mark.parametrize("task", TASKS)
def test_the_example_of_every_task_can_be_sent(task: str):
    example = TASKS[task].example_for("[MASK]")
    fields = example if isinstance(example, dict) else {"inputs": example}
    tensors = [
        tensor(name, *value)
        if isinstance(value, list) and all(isinstance(each, str) for each in value)
        else tensor(name, value if isinstance(value, str) else json.dumps(value))
        for name, value in fields.items()
    ]
    assert infer(task, *tensors).inputs == [example]


def test_other_tensors_are_parameters():
    labels, several = tensor("candidate_labels", "x", "y"), tensor("multi_label", True, datatype="BOOL")
    query = infer("zero-shot-classification", tensor("args", "a"), labels, several)
    assert query.parameters == {"candidate_labels": ["x", "y"], "multi_label": True}
    one = infer("zero-shot-classification", tensor("args", "a"), tensor("candidate_labels", "x"))
    assert one.parameters == {"candidate_labels": ["x"]}
    length = tensor("max_new_tokens", 5, datatype="INT32")
    assert infer("text-generation", tensor("args", "a"), length).parameters == {"max_new_tokens": 5}


def test_a_list_among_the_parameters_may_be_json_in_a_text():
    query = infer("text-generation", tensor("args", "a"), parameters={"stop": '["x"]', "seed": 3})
    assert query.parameters == {"stop": ["x"], "seed": 3}


def test_what_belongs_to_the_protocol_is_no_parameter_of_the_pipeline():
    sent = {"timeout": 500_000, "priority": 1, "sequence_id": 4, "sequence_start": True, "sequence_end": True}
    query = read(TEXT | {"id": "7", "parameters": sent | {"binary_data_output": True, "top_k": 2}})
    assert (query.parameters, query.deadline_s, query.state.id, query.state.binary) == ({"top_k": 2}, 0.5, "7", True)
    assert read(TEXT | {"parameters": {"timeout": 0}}).deadline_s is None
    assert read(TEXT, x_request_timeout_seconds="2").deadline_s == 2.0


def test_vectors_are_wanted_as_numbers_and_one_for_each_input():
    query = infer("feature-extraction", tensor("args", "a"))
    assert (query.arrays, query.parameters) == (True, {"pooling": "auto"})
    assert infer("feature-extraction", tensor("args", "a"), parameters={"pooling": "none"}).parameters == {
        "pooling": "none"
    }
    assert not infer("fill-mask", tensor("args", "a")).arrays


@pytest.mark.parametrize(
    ("parameters", "output", "wanted"),
    [
        ({"binary_data_output": True}, {}, True),
        ({"binary_data_output": True}, {"binary_data": False}, False),
        ({}, {"binary_data": True}, True),
        ({}, {}, False),
    ],
)
def test_an_output_may_be_wanted_as_bytes(parameters: Any, output: Any, wanted: bool):
    outputs = [{"name": "output", "parameters": output}]
    assert read(TEXT | {"parameters": parameters, "outputs": outputs}).state.binary is wanted


@pytest.mark.parametrize("version", ["", "1", SERVED])
def test_versions_that_are_served(version: str):
    query = read(TEXT, version=version).adapted(describe("fill-mask"))
    assert query.state.served == SERVED


def test_another_version_is_not_found():
    with pytest.raises(NotFound, match=r"no version '2' of words; 1 or 3f is right\."):
        read(TEXT, version="2").adapted(describe("fill-mask"))


# Bytes


def test_tensors_may_be_bytes_after_the_json():
    numbers = ("top_k", "INT64", [1], struct.pack("<q", 3))
    body, size = binary(("args", "BYTES", [3], elements("é".encode(), PNG, b"")), numbers)
    query = read(body, inference_header_content_length=size)
    assert query.inputs == ["é", Media(PNG), ""]
    assert query.adapted(describe("text-classification")).parameters == {"top_k": 3}


@pytest.mark.parametrize(
    ("datatype", "data", "values"),
    [
        ("BOOL", b"\x01\x00", [True, False]),
        ("UINT8", b"\x01\xff", [1, 255]),
        ("INT16", b"\xff\xff\x01\x00", [-1, 1]),
        ("FP16", struct.pack("<2e", 0.5, 2), [0.5, 2]),
        ("FP32", struct.pack("<2f", 0.5, 2), [0.5, 2]),
        ("FP64", struct.pack("<2d", 0.5, 2), [0.5, 2]),
    ],
)
def test_numbers_in_bytes(datatype: str, data: bytes, values: list[Any]):
    body, size = binary(("args", "BYTES", [1], elements(b"a")), ("x", datatype, [2], data))
    assert read(body, inference_header_content_length=size).state.tensors == {"x": values}


def test_a_body_without_json_is_one_element():
    assert read(PNG, inference_header_content_length="0").inputs == [Media(PNG)]
    assert read(b"a text", inference_header_content_length="0").inputs == ["a text"]


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_body_may_be_compressed(encoding: str, compress: Any):
    body, size = binary(("args", "BYTES", [1], elements(b"a")))
    assert read(compress(body), content_encoding=encoding, inference_header_content_length=size).inputs == ["a"]
    bomb = compress(b" " * (MOST_BODY_BYTES * 2))
    assert isinstance(refusal(bomb, content_encoding=encoding), PayloadTooLarge)
    for broken in (compress(body)[:-3], compress(body) + b"x", b"x", b""):
        error = refusal(broken, content_encoding=encoding, inference_header_content_length=size)
        assert isinstance(error, Malformed)
        assert "as Content-Encoding says" in error.message
    assert isinstance(refusal(body, content_encoding="br"), UnsupportedMediaType)


# Refusals


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"", "not valid JSON"),
        (b"[]", "a list"),
        ({"id": "7"}, "no 'inputs'"),
        ({"inputs": []}, "empty list"),
        ({"inputs": {}}, "an object"),
        ({"inputs": [1]}, "inputs[0] is a number"),
        ({"input": []}, "field 'input'"),
        (TEXT | {"id": 7}, "'id' is a number"),
        (TEXT | {"parameters": []}, "The request has parameters that are a list"),
        (TEXT | {"parameters": {"timeout": -1}}, "timeout is -1"),
        (TEXT | {"parameters": {"timeout": "1"}}, "timeout is a text"),
        (TEXT | {"parameters": {"timeout": 120_000_001}}, "from 1 to 120000000"),
        (TEXT | {"outputs": [{"name": "logits"}]}, "no output 'logits'"),
        (TEXT | {"outputs": ["output"]}, "'outputs' is a list"),
        (TEXT | {"outputs": [{"name": "output", "parameters": {"binary_data": 1}}]}, "'binary_data'"),
        ({"inputs": [tensor("a", "b") | {"name": None}]}, "name that is null"),
        ({"inputs": [tensor("a", "b", datatype="BF16")]}, "datatype 'BF16'; it must be one of BOOL,"),
        ({"inputs": [tensor("a", "b") | {"shape": None}]}, "'a' has a shape"),
        ({"inputs": [tensor("a", "b") | {"shape": [True]}]}, "'a' has a shape"),
        ({"inputs": [tensor("a", "b") | {"shape": [-1]}]}, "'a' has a shape"),
        ({"inputs": [tensor("a", "b") | {"shape": [1] * 9}]}, "9 dimensions"),
        ({"inputs": [tensor("a", "b") | {"shape": [10**9, 10**9]}]}, "more than 4096 elements"),
        ({"inputs": [tensor("a", "b") | {"shape": [2]}]}, "1 elements; by its shape they are 2"),
        ({"inputs": [tensor("a", "b") | {"data": "b"}]}, "data that are a text"),
        ({"inputs": [tensor("a", ["b"], "c")]}, "nest all of them"),
        ({"inputs": [tensor("a", 1)]}, "must be texts"),
        ({"inputs": [tensor("a", 1.5, datatype="INT8")]}, "must be numbers"),
        ({"inputs": [tensor("a", 1, datatype="BOOL")]}, "must be booleans"),
        ({"inputs": [tensor("a", 1, datatype="FP32")]}, "datatype FP32; it must be BYTES"),
        ({"inputs": [tensor("args", "a"), tensor("args", "a")]}, "Two inputs are called 'args'"),
        ({"inputs": [tensor("x", "a"), tensor("y", "a")]}, "None of the 2 inputs"),
        ({"inputs": [tensor("question", "q"), tensor("context", "a", "b")]}, "question 1, context 2"),
        ({"inputs": [tensor("query", "q", "r"), tensor("texts", "a", "b")]}, "one input at a time"),
        ({"inputs": [tensor("a", "b", parameters={"binary_data_size": 1})]}, "binary_data_size 1; 0 bytes are left"),
        ({"inputs": [tensor("a", "{", parameters={"content_type": "hg_json"})]}, "not valid JSON"),
    ],
)
def test_a_refusal_says_what_is_wrong(body: Any, names: str):
    error = refusal(body)
    assert isinstance(error, Invalid | Malformed)
    assert names in error.message


@pytest.mark.parametrize(
    ("task", "tensors", "names"),
    [
        ("decision", [tensor("state", "s"), tensor("questions", "{")], "'questions' has a text that is not valid"),
        ("image-text-to-text", [tensor("inputs", "a")], "'inputs' has a text that is not valid JSON"),
        ("question-answering", [tensor("inputs", "a")], "'inputs' has a text that is not valid JSON"),
    ],
)
def test_a_refusal_of_what_the_task_cannot_take(task: str, tensors: list[Any], names: str):
    assert names in refusal({"inputs": tensors}, task).message


@pytest.mark.parametrize(
    ("tensors", "names"),
    [
        ([("a", "BYTES", [1], b"\x05\0\0\0abc")], "ends after its bytes"),
        ([("a", "BYTES", [1], b"\x05\0")], "ends after its bytes"),
        ([("a", "BYTES", [2], elements(b"a"))], "1 elements; by its shape they are 2"),
        ([("a", "INT32", [2], b"\0")], "1 bytes; by its shape and datatype they are 8"),
    ],
)
def test_bytes_that_are_no_tensor(tensors: list[Any], names: str):
    body, size = binary(*tensors)
    assert names in refusal(body, inference_header_content_length=size).message


def test_the_size_of_the_json_must_be_right():
    body, size = binary(("a", "BYTES", [1], elements(b"a")))
    assert "1 bytes at the end" in refusal(body + b"x", inference_header_content_length=size).message
    for wrong in ("-1", "a", "9" * 5000, str(len(body) + 1)):
        assert "Inference-Header-Content-Length" in refusal(body, inference_header_content_length=wrong).message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=3),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=3), values, max_size=3),
    max_leaves=8,
)
tensors_of_anything = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["args", "question", "context", "texts", "query", "top_k", 1]),
        "datatype": st.sampled_from(["BYTES", "FP32", "BOOL", None]),
        "shape": st.lists(st.integers(-1, 3), max_size=3) | json_values,
        "data": st.lists(st.text(max_size=2), max_size=3) | json_values,
        "parameters": json_values | st.fixed_dictionaries({"binary_data_size": st.integers(-1, 9)}),
    },
)


@given(
    st.fixed_dictionaries(
        {"inputs": st.lists(tensors_of_anything, max_size=3) | json_values},
        optional={"id": json_values, "parameters": json_values, "outputs": json_values},
    ),
    st.binary(max_size=12),
    st.sampled_from(["text-classification", "question-answering", "text-ranking", "decision", "image-to-text"]),
)
def test_anything_is_read_or_refused(fields: Any, more: bytes, task: str):
    text = json.dumps(fields).encode()
    try:
        query = read(text + more, inference_header_content_length=str(len(text)))
        adapted = query.adapted(describe(task))
    except InferenceError as refused:
        error: InferenceError | None = refused
    else:
        assert len(adapted.inputs) == len(query.inputs)
        error = None
    assert error is None or (error.status < 500 and error.message.endswith("."))
