import base64
import json
import struct
from typing import Any

import pytest

from inference.api.dialects.base import Reply
from inference.api.dialects.open_inference import DIALECT, replies
from inference.api.dialects.open_inference.http import EventWriter, GenerateEndpoint, GenerateWriter
from inference.errors import InferenceFailed, Invalid, NotFound, Overloaded
from inference.messaging.messages import Generation, Result
from inference.serving.context import RequestContext
from inference.serving.query import Query
from inference.serving.result import Outcome, RequestResult
from tests.api.dialects.open_inference.reading import SERVED, describe, read, refusal, tensor
from tests.serving.results import make_result, outcomes
from tests.serving.test_generation_result import make_generation, token

CONTEXT = RequestContext(transport="http", id="made")
FACTS = {"model_name": "words", "model_version": SERVED}


def result(task: str, query: Query, *outputs: bytes, **fields: Any) -> RequestResult:
    description = describe(task)
    return make_result(query.adapted(description), outputs, description=description, **fields)


def infer(task: str, *outputs: bytes | Result, **fields: Any) -> RequestResult:
    query = read({"inputs": [tensor("args", "a")]} | fields)
    found = [Outcome(each) if isinstance(each, Result) else outcomes(each)[0] for each in outputs]
    return result(task, query, outcomes=found)


def parts(reply: Reply) -> tuple[Any, bytes]:
    """The JSON, and the bytes after it."""
    headers = dict(reply.headers)
    size = int(headers.get(b"inference-header-content-length", len(reply.body)))
    return json.loads(reply.body[:size]), reply.body[size:]


def output(reply: Reply) -> Any:
    (found,) = parts(reply)[0]["outputs"]
    assert found["name"] == "output"
    return found


def test_the_answer_to_each_input_is_an_element():
    reply = replies.write_result(CONTEXT, infer("fill-mask", b'[{"score":1}]', b'"\xc3\xa9"', id="7"))
    assert reply.headers == [(b"content-type", b"application/json"), (b"x-request-id", b"made")]
    answer, _ = parts(reply)
    assert answer == FACTS | {
        "id": "7",
        "outputs": [
            {
                "name": "output",
                "datatype": "BYTES",
                "shape": [2, 1],
                "parameters": {"content_type": "hg_jsonlist"},
                "data": ['[{"score":1}]', '"é"'],
            }
        ],
    }


def test_a_request_without_an_id_gets_one():
    assert parts(replies.write_result(CONTEXT, infer("fill-mask", b"[]")))[0]["id"] == "made"


@pytest.mark.parametrize(
    ("task", "parameters", "answer", "element"),
    [
        ("text-generation", {"top_k": 2}, b'[{"generated_text":"b"}]', '{"generated_text":"b"}'),
        ("text-classification", {}, b'[{"label":"A"}]', '{"label":"A"}'),
        ("text-classification", {"top_k": 1}, b'[{"label":"A"}]', '[{"label":"A"}]'),
        ("image-classification", {}, b'[{"label":"A"},{"label":"B"}]', '[{"label":"A"},{"label":"B"}]'),
        ("zero-shot-classification", {}, b'{"labels":["A"]}', '{"labels":["A"]}'),
        ("token-classification", {}, b'[{"word":"A"}]', '[{"word":"A"}]'),
    ],
)
def test_a_list_that_always_has_one_entry_is_left_out(task: str, parameters: Any, answer: bytes, element: str):
    assert output(replies.write_result(CONTEXT, infer(task, answer, parameters=parameters)))["data"] == [element]


def test_bytes_for_those_who_ask():
    reply = replies.write_result(CONTEXT, infer("fill-mask", b"[1]", b"[]", parameters={"binary_data_output": True}))
    assert dict(reply.headers)[b"content-type"] == b"application/octet-stream"
    answer, data = parts(reply)
    assert data == b"\3\0\0\0[1]\2\0\0\0[]"
    assert answer["outputs"][0]["parameters"] == {"content_type": "hg_jsonlist", "binary_data_size": len(data)}
    assert "data" not in answer["outputs"][0]


def vector(*numbers: float, shape: tuple[int, ...] = ()) -> Result:
    return Result(1, struct.pack(f"<{len(numbers)}f", *numbers), 0.0, 0.0, 1, shape=shape or (len(numbers),))


def test_vectors_are_numbers():
    both = vector(0.5, 1), vector(2, -3)
    found = output(replies.write_result(CONTEXT, infer("feature-extraction", *both)))
    assert found == {
        "name": "output",
        "datatype": "FP32",
        "shape": [2, 2],
        "parameters": {},
        "data": [0.5, 1.0, 2.0, -3.0],
    }
    reply = replies.write_result(CONTEXT, infer("feature-extraction", *both, parameters={"binary_data_output": True}))
    assert parts(reply)[1] == struct.pack("<4f", 0.5, 1, 2, -3)


def test_vectors_of_tokens_make_a_tensor_if_there_are_equally_many():
    one, other = vector(1, 2, shape=(1, 2, 1)), vector(1, 2, 3, shape=(1, 3, 1))
    assert output(replies.write_result(CONTEXT, infer("feature-extraction", one, one)))["shape"] == [2, 2, 1]
    with pytest.raises(Invalid, match=r"\[2, 1\] and \[3, 1\], which make no tensor; send one input"):
        replies.write_result(CONTEXT, infer("feature-extraction", one, other))


@pytest.mark.parametrize("binary", [True, False])
def test_recordings_are_bytes_or_base64(binary: bool):
    recording = Result(1, b"RIFF\xff", 0.0, 0.0, 1, media_type="audio/wav")
    reply = replies.write_result(CONTEXT, infer("text-to-speech", recording, parameters={"binary_data_output": binary}))
    found = output(reply)
    assert found["parameters"]["content_type"] == "base64"
    assert parts(reply)[1][4:] == b"RIFF\xff" if binary else base64.b64decode(found["data"][0]) == b"RIFF\xff"


@pytest.mark.parametrize(
    ("error", "status"), [(Invalid("A."), 400), (NotFound("A."), 404), (Overloaded("A.", retry_after_s=3), 503)]
)
def test_errors_are_texts(error: Any, status: int):
    reply = DIALECT.error(CONTEXT, error)
    assert (reply.status, parts(reply)[0]) == (status, {"error": "A."})
    assert dict(reply.headers).get(b"retry-after") == (b"3" if status == 503 else None)


# Generate


def generated(task: str, query: Query, answer: bytes) -> Any:
    return parts(GenerateEndpoint("/").reply(CONTEXT, result(task, query, answer)))[0]


def test_a_text_for_a_text():
    query = read(
        {"text_input": "a", "id": "7", "parameters": {"seed": 1}, "max_tokens": 3, "stream": False}, "generate"
    )
    assert generated("text-generation", query, b'[{"generated_text":"b"}]') == FACTS | {"id": "7", "text_output": "b"}
    asked = query.adapted(describe("text-generation"))
    assert (asked.inputs, asked.stream) == (["a"], False)
    assert asked.parameters == {"return_full_text": False, "seed": 1, "max_new_tokens": 3}
    summary = generated("summarization", read({"text_input": "a"}, "generate"), b'[{"summary_text":"b"}]')
    assert summary == FACTS | {"id": "made", "text_output": "b"}


@pytest.mark.parametrize(("excluded", "full"), [(True, False), (False, True)])
def test_the_prompt_may_come_before_the_text(excluded: bool, full: bool):
    query = read({"text_input": "a", "exclude_input_in_output": excluded}, "generate")
    assert query.adapted(describe("text-generation")).parameters == {"return_full_text": full}


@pytest.mark.parametrize("stop", ["x", ["x"], '["x"]'])
def test_names_of_other_servers(stop: Any):
    query = read({"text_input": "a", "random_seed": 1, "stop_words": stop}, "generate")
    parameters = query.adapted(describe("text-generation")).parameters
    assert parameters == {"return_full_text": False, "seed": 1, "stop": ["x"]}


@pytest.mark.parametrize(
    ("body", "task", "names"),
    [
        ({}, "text-generation", "no 'text_input'"),
        ({"text_input": ["a"]}, "text-generation", "'text_input' is a list"),
        ({"text_input": "a", "exclude_input_in_output": 1}, "text-generation", "exclude_input_in_output is a number"),
        ({"text_input": "a", "parameters": 1}, "text-generation", "parameters that are a number"),
        ({"text_input": "a"}, "fill-mask", "words serves fill-mask; …/generate is for"),
        ({"text_input": "a"}, "image-to-text", "words serves image-to-text; …/generate is for"),
    ],
)
def test_what_cannot_be_generated(body: Any, task: str, names: str):
    assert names in refusal(body, task, "generate").message


def test_streams_are_for_one_input_of_what_streams():
    assert "does not stream" in refusal({"inputs": [tensor("args", "a")]}, "fill-mask", "infer_stream").message
    assert "for one input" in refusal({"inputs": [tensor("args", "a", "b")]}, "text-generation", "infer_stream").message


def test_an_event_for_each_token():
    query = read({"text_input": "a", "id": "7"}, "generate_stream").adapted(describe("text-generation"))
    generation = make_generation(" b")
    generation.finish(Generation("stop_sequence", 3, 2, 1.0, 1.0, token(1, "é")))
    written = GenerateWriter(CONTEXT, query.state)
    assert dict(written.headers)[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert event(written.token(generation.tokens[0], generation)) == FACTS | {"id": "7", "text_output": " b"}
    assert event(written.finished(generation))["text_output"] == "é"
    assert written.end(make_result(query)) == b""
    assert event(written.error(InferenceFailed("It broke."))) == {"error": "It broke."}
    (tensors,) = event(EventWriter(CONTEXT, query.state).finished(generation))["outputs"]
    assert tensors == {"name": "output", "datatype": "BYTES", "shape": [1, 1], "data": ["é"]}


def event(written: bytes) -> Any:
    assert written.startswith(b"data: ")
    assert written.endswith(b"\n\n")
    return json.loads(written[6:])
