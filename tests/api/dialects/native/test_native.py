import json
import re
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.api.dialects.base import Head
from inference.api.dialects.native import answers, frames, http
from inference.api.dialects.native.answers import write_headers, write_outcomes
from inference.api.dialects.native.requests import read_query
from inference.api.dialects.reading import decode_object, read_deadline
from inference.conf import Conf
from inference.errors import (
    Cancelled,
    EmptyInput,
    InferenceError,
    InferenceFailed,
    Invalid,
    Malformed,
    Overloaded,
    UnsupportedMediaType,
)
from inference.messaging.messages import Generation
from inference.serving.context import RequestContext
from inference.serving.generation_result import GenerationResult
from inference.serving.query import Query
from inference.serving.result import RequestResult, Times
from tests.serving.results import make_result, outcomes
from tests.serving.test_generation_result import make_generation, token

LITERALLY = " To send the text literally, use Content-Type: text/plain."
LONGEST_S = 120.0
DEPLOYMENT: Any = SimpleNamespace(conf=Conf(max_deadline_s=LONGEST_S))
OUTPUT = b'[{"score": 0.5}]'

steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""


def read(body: bytes, content_type: str = "", timeout: str | None = None) -> Query:
    """Without what is done for the clients of Hugging Face."""
    headers = {b"content-type": content_type, http.NativeEndpoint.deadline_header: timeout or ""}
    query = http.NativeEndpoint().read(Head("POST", "/", lambda name: headers.get(name, "")), body, DEPLOYMENT)
    return query.changed(state=None, adapt=None)


def read_json(**fields: Any) -> Query:
    return read(json.dumps(fields).encode())


def refusal(body: bytes, content_type: str = "", timeout: str | None = None) -> InferenceError:
    with pytest.raises(InferenceError) as raised:
        read(body, content_type, timeout)
    return raised.value


def is_one_sentence(message: str) -> bool:
    """Text of one line that ends once, perhaps with the hint how to send it literally."""
    without_hint = message.removesuffix(LITERALLY)
    return without_hint.endswith(".") and "\n" not in message and ". " not in without_hint


# HTTP: text or JSON


@pytest.mark.parametrize(
    ("content_type", "body", "is_json"),
    [
        ("application/json", b'{"inputs": "a"}', True),
        ("application/json; charset=utf-8", b'{"inputs": "a"}', True),
        ("Application/JSON", b'{"inputs": "a"}', True),
        (" application/json ", b' \n{"inputs": "a"}', True),
        ("", b'{"inputs": "a"}', True),
        ("", b' \r\n\t{"inputs": "a"}', True),
        ("application/x-www-form-urlencoded", b'{"inputs": "a"}', True),
        ("application/octet-stream", b'{"inputs": "a"}', True),
        ("text/html", b'{"inputs": "a"}', True),
        ("text/plain", b'{"inputs": "a"}', False),
        ("text/plain; charset=utf-8", b'{"inputs": "a"}', False),
        ("TEXT/PLAIN", b'{"inputs": "a"}', False),
        ("", b"test [MASK]", False),
        ("application/x-www-form-urlencoded", b"test [MASK]", False),
        ("", b'"inputs"', False),
        ("", b"[1, 2]", False),
        ("", b"3", False),
        ("", b'a {"inputs": "a"}', False),
    ],
)
def test_a_body_is_json_by_its_type_or_its_first_character(content_type: str, body: bytes, is_json: bool):
    expected = ["a"] if is_json else [body.decode()]
    assert read(body, content_type) == Query(inputs=expected, many=False)


@pytest.mark.parametrize("body", [b"test [MASK]", b"[1, 2]", b'"a"', b"null"])
def test_a_body_that_is_declared_as_json_is_never_text(body: bytes):
    assert isinstance(refusal(body, "application/json"), Malformed)


def test_a_text_stays_exactly_as_it_was_sent():
    assert read("  tést\n\u2028[MASK]\x00 ".encode()).inputs == ["  tést\n\u2028[MASK]\x00 "]


@steady
@given(st.text(min_size=1).filter(str.strip))
def test_any_text_arrives_as_plain_text(text: str):
    assert read(text.encode(), "text/plain").inputs == [text]


@steady
@given(st.text())
def test_any_text_arrives_in_json(text: str):
    assert read_json(inputs=text).inputs == [text]


@steady
@given(st.binary() | st.binary().map(lambda tail: b'{"inputs": ' + tail), st.sampled_from(["", "application/json"]))
def test_any_body_is_a_query_or_an_error_of_one_sentence(body: bytes, content_type: str):
    try:
        query = read(body, content_type)
    except InferenceError as raised:
        error = raised
    else:
        assert query.many or len(query.inputs) == 1
        return
    assert error.status in (400, 422)
    assert is_one_sentence(error.message)
    assert json.loads(answers.write_error(error))["error"] == error.message


# HTTP: what JSON may say


def test_one_input_gives_one_output():
    assert read_json(inputs="a") == Query(inputs=["a"], many=False)


@pytest.mark.parametrize("inputs", [["a", "b"], ["a"], []])
def test_a_list_of_inputs_gives_a_list(inputs: list[str]):
    assert read_json(inputs=inputs) == Query(inputs=inputs, many=True)


@pytest.mark.parametrize("inputs", [None, 1, {"text": "a"}, True])
def test_inputs_of_other_types_are_left_for_the_task_to_refuse(inputs: Any):
    assert read_json(inputs=inputs).inputs == [inputs]


@pytest.mark.parametrize("parameters", [None, {}, {"top_k": 3}, "text", [1]])
def test_parameters_are_left_for_the_task_to_check(parameters: Any):
    assert read_json(inputs="a", parameters=parameters).parameters == parameters


@pytest.mark.parametrize(("stream", "expected"), [(True, True), (False, False), (None, False)])
def test_streaming_is_asked_for(stream: bool | None, expected: bool):
    assert read_json(inputs="a", stream=stream).stream is expected


@pytest.mark.parametrize(("stream", "what"), [(1, "a number"), ("true", "a text"), ([], "a list")], ids=str)
def test_a_stream_that_is_no_flag_is_refused(stream: Any, what: str):
    with pytest.raises(Invalid, match=rf"^'stream' is {what}; it must be true or false\.$"):
        read_json(inputs="a", stream=stream)


def test_options_of_the_hosted_service_have_no_effect():
    assert read_json(inputs="a", options={"wait_for_model": True}) == read_json(inputs="a")


def test_json_without_inputs_is_malformed():
    with pytest.raises(Malformed, match=r"^There is no 'inputs'; send an object such as {\"inputs\": \"a text\"}\.$"):
        read_json(parameters={})


@pytest.mark.parametrize("name", ["input", "Inputs", "type", "id", "timeout_s", ""])
def test_an_unknown_field_is_named_with_the_known_ones(name: str):
    sentence = refusal(json.dumps({"inputs": "a", name: 1}).encode()).message
    assert sentence == f"There is no field {name!r}; known are: inputs, parameters, stream."


def test_the_long_name_of_an_unknown_field_is_not_shown_in_full():
    assert len(refusal(b'{"%s": 1}' % (b"x" * 100_000)).message) < 200


@pytest.mark.parametrize(
    ("body", "what"), [(b"[1]", "a list"), (b'"a"', "a text"), (b"1", "a number"), (b"null", "null")], ids=str
)
def test_json_that_is_no_object_says_what_it_is(body: bytes, what: str):
    error = refusal(body, "application/json")
    assert error.message == f'The JSON is {what}; it must be an object such as {{"inputs": "a text"}}.'


# HTTP: bodies that cannot be read

BROKEN = [
    b"{",
    b"{}x",
    b'{"inputs": }',
    b'{"inputs": "a",}',
    b"{'inputs': 'a'}",
    b'{"inputs": NaN}',
    b'{"inputs": 1e999}',
    b'{"inputs": "\n"}',
    b'{"inputs": "\\ud800"}',
    b'{"inputs": "\\udc00\\ud800"}',
    b'{"inputs": "\\x"}',
    b'{"inputs": "\xff"}',
    b'{"\xff": 1}',
    b'{"inputs": %s}' % (b"1" * 5000),
]


@pytest.mark.parametrize("body", BROKEN, ids=lambda body: repr(body[:24]))
def test_broken_json_is_malformed_and_says_how_to_send_it_literally(body: bytes):
    error = refusal(body)
    assert isinstance(error, Malformed)
    assert error.message.startswith("This is not valid JSON: ")
    assert error.message.endswith(LITERALLY)
    assert is_one_sentence(error.message)


@pytest.mark.parametrize("body", [*BROKEN, b"", b"a"], ids=lambda body: repr(body[:24]))
def test_what_is_declared_as_json_is_not_told_to_be_text(body: bytes):
    error = refusal(body, "application/json")
    assert isinstance(error, Malformed)
    assert "text/plain" not in error.message


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_json_that_is_nested_without_end_is_malformed(opening: bytes):
    error = refusal(b'{"inputs": ' + opening * 100_000)
    assert (type(error), error.message) == (Malformed, "The JSON is nested too deeply.")


@pytest.mark.parametrize(
    ("body", "place", "byte"), [(b"\xff", 0, "ff"), (b"ab\xc3", 2, "c3"), (b"a\xed\xa0\x80", 1, "ed")], ids=str
)
def test_a_text_that_is_not_utf_8_is_malformed_and_the_byte_is_named(body: bytes, place: int, byte: str):
    error = refusal(body, "text/plain")
    assert (type(error), error.message) == (Malformed, f"The body is not UTF-8: byte {place} is 0x{byte}.")


def test_utf_16_is_no_utf_8():
    assert isinstance(refusal("test [MASK]".encode("utf-16"), "text/plain"), Malformed)


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=x", "Multipart/Form-Data"])
def test_a_form_with_parts_is_not_taken_for_a_text(content_type: str):
    """As ``curl -F inputs=...`` sends it."""
    error = refusal(b'--x\r\nContent-Disposition: form-data; name="inputs"\r\n\r\na [MASK]\r\n--x--\r\n', content_type)
    assert type(error) is UnsupportedMediaType
    assert error.message == (
        "Forms with parts (multipart/form-data, curl -F) are not read; send the text itself, "
        'or JSON such as {"inputs": "a text"}.'
    )


@pytest.mark.parametrize("body", [b"", b" ", b"\r\n\t", "\u00a0".encode()], ids=repr)
@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_without_a_text_is_empty(body: bytes, content_type: str):
    error = refusal(body, content_type)
    assert (type(error), error.status, error.code) == (EmptyInput, 400, "empty")


# Deadlines


@pytest.mark.parametrize("value", ["5", "5.0", 5, 5.0, " 5 "], ids=repr)
def test_a_deadline_is_a_number_or_its_text(value: Any):
    assert read_deadline(value, "timeout_s", LONGEST_S) == 5.0


def test_no_deadline_is_none():
    assert read_deadline(None, "timeout_s", LONGEST_S) is None


@pytest.mark.parametrize("value", [LONGEST_S, 0.001, str(LONGEST_S)], ids=repr)
def test_the_longest_and_very_short_deadlines_are_allowed(value: Any):
    assert read_deadline(value, "timeout_s", LONGEST_S) == float(value)


@pytest.mark.parametrize(
    "value",
    ["nan", "inf", "-inf", "0", "-1", "120.001", "1e9", "five", "", " ", "5s", "0x5", "5,0", 0, -1, 121, 10**400],
    ids=lambda value: repr(value)[:20],
)
def test_a_deadline_out_of_bounds_is_refused_with_what_is_right(value: Any):
    with pytest.raises(Invalid) as raised:
        read_deadline(value, "timeout_s", LONGEST_S)
    expected = f"timeout_s is {str(value)[:60]!r}; it must be a number above 0 and at most 120."
    assert raised.value.message == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, False], ids=repr)
def test_a_deadline_that_is_no_real_number_is_refused(value: Any):
    with pytest.raises(Invalid, match=f"^timeout_s is '{value}'; it must be a number"):
        read_deadline(value, "timeout_s", LONGEST_S)


@pytest.mark.parametrize(("value", "what"), [([5], "a list"), ({}, "an object"), ([[[]]], "a list")], ids=str)
def test_a_deadline_of_another_type_is_refused(value: Any, what: str):
    with pytest.raises(Invalid, match=f"^timeout_s is {what}; it must be a number"):
        read_deadline(value, "timeout_s", LONGEST_S)


def test_a_long_text_is_not_shown_in_full():
    with pytest.raises(Invalid) as raised:
        read_deadline("9" * 10_000, "timeout_s", LONGEST_S)
    assert len(raised.value.message) < 200


@pytest.mark.parametrize("body", [b"a text", b'{"inputs": "a text"}'])
def test_the_header_sets_the_deadline_of_any_body(body: bytes):
    assert read(body, timeout="2.5").deadline_s == 2.5


def test_a_wrong_deadline_names_the_header():
    error = refusal(b"a text", timeout="nan")
    assert (error.status, error.message) == (
        422,
        "x-request-timeout-seconds is 'nan'; it must be a number above 0 and at most 120.",
    )


# HTTP: answers


def test_the_output_of_one_input_is_its_bytes():
    assert write_outcomes(outcomes(OUTPUT), many=False) is OUTPUT


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_outputs_of_a_list_are_joined_bytes_and_valid_json(count: int):
    body = write_outcomes(outcomes(*(b'{"n": %d}' % n for n in range(count))), many=True)
    assert json.loads(body) == [{"n": n} for n in range(count)]
    assert body.count(b'{"n": 0}') == 1


@steady
@given(st.lists(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5)))
def test_joined_outputs_are_what_was_joined(values: list[Any]):
    written = outcomes(*(json.dumps(value).encode() for value in values))
    assert json.loads(write_outcomes(written, many=True)) == values


def test_an_error_says_what_and_its_code():
    body = answers.write_error(Invalid('It has "quotes", é and \n.'))
    assert json.loads(body) == {"error": 'It has "quotes", é and \n.', "error_type": "validation"}


def headers_of(times: Times, error: InferenceError | None = None) -> dict[bytes, bytes]:
    pairs = write_headers("0123abcd", times, error)
    headers = dict(pairs)
    assert len(headers) == len(pairs)
    assert all(name == name.lower() for name in headers)
    return headers


def test_every_answer_carries_its_id_and_its_times():
    headers = headers_of(Times(queue_ms=1.23456, inference_ms=20.0, total_ms=21.5, batch_size=8))
    assert headers[b"x-request-id"] == b"0123abcd"
    assert headers[b"x-queue-time"] == b"1.235"
    assert headers[b"x-inference-time"] == b"20.000"
    assert headers[b"x-total-time"] == b"21.500"
    assert headers[b"x-batch-size"] == b"8"
    assert headers[b"content-type"] == b"application/json"
    assert b"retry-after" not in headers


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Overloaded("Later.", retry_after_s=3), b"3"),
        (Overloaded("Later.", retry_after_s=0), b"0"),
        (Overloaded("Later."), None),
        (InferenceFailed("It failed."), None),
    ],
    ids=repr,
)
def test_when_to_retry_is_said_if_it_is_known(error: InferenceError, expected: bytes | None):
    assert headers_of(Times(total_ms=1.0), error).get(b"retry-after") == expected


def test_an_error_carries_the_id_and_times_too():
    headers = headers_of(Times(total_ms=1.0), InferenceFailed("It failed."))
    assert (headers[b"x-request-id"], headers[b"x-total-time"], headers[b"x-batch-size"]) == (
        b"0123abcd",
        b"1.000",
        b"0",
    )


# WebSocket: frames in


def frame(**fields: Any) -> dict[str, Any]:
    return frames.read_frame(json.dumps(fields))


@pytest.mark.parametrize("kind", ["infer", "cancel", "ping"])
def test_a_frame_has_a_known_type(kind: str):
    assert frame(type=kind, id="a") == {"type": kind, "id": "a"}


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("stop", "'stop'"),
        ("Infer", "'Infer'"),
        ("", "''"),
        (None, "null"),
        (1, "a number"),
        ([], "a list"),
        ({}, "an object"),
        ("x" * 1000, repr("x" * 60)),
    ],
    ids=lambda value: str(value)[:10],
)
def test_a_frame_of_another_type_is_refused(kind: Any, shown: str):
    with pytest.raises(Invalid) as raised:
        frame(type=kind)
    assert raised.value.message == f"'type' is {shown}; it must be one of infer, cancel, ping."


def test_a_frame_without_a_type_is_refused():
    with pytest.raises(Invalid, match=r"^'type' is null; "):
        frame(id="a")


@pytest.mark.parametrize(
    "text",
    ["", " ", "{", "[]", '"ping"', "null", "[" * 100_000, '{"type": "ping"}x', "\ud800"],
    ids=lambda text: ascii(text)[:12],
)
def test_what_is_no_object_is_malformed(text: str):
    with pytest.raises(Malformed) as raised:
        frames.read_frame(text)
    assert is_one_sentence(raised.value.message)
    assert "text/plain" not in raised.value.message


@pytest.mark.parametrize("client_id", ["a", "x" * 64, "é\u2028", " "], ids=ascii)
def test_an_id_is_a_text_of_at_most_64_characters(client_id: str):
    assert frames.read_id(frame(type="infer", id=client_id)) == client_id


@pytest.mark.parametrize("client_id", [None, "", "x" * 65, 1, True, ["a"], {}], ids=lambda value: str(value)[:10])
def test_any_other_id_is_refused(client_id: Any):
    with pytest.raises(Invalid, match=r"^'id' is .*; it must be a text of 1 to 64 characters\.$"):
        frames.read_id(frame(type="infer", id=client_id))


def test_a_missing_id_is_refused():
    with pytest.raises(Invalid, match=r"^'id' is null; "):
        frames.read_id(frame(type="infer"))


def test_an_infer_frame_is_a_query():
    read_frame = frame(type="infer", id="a", inputs="a", parameters={"top_k": 2}, stream=True, timeout_s=3)
    expected = Query(
        inputs=["a"], many=False, parameters={"top_k": 2}, stream=True, tokens_for="stream", deadline_s=3.0
    )
    assert frames.read_infer(read_frame, LONGEST_S) == expected


def test_an_infer_frame_needs_only_inputs():
    assert frames.read_infer(frame(type="infer", id="a", inputs="a"), LONGEST_S) == Query(inputs=["a"], many=False)


@pytest.mark.parametrize("timeout_s", [0, -1, 121, True, "nan", [], 10**400], ids=lambda value: str(value)[:10])
def test_a_wrong_timeout_of_a_frame_is_refused(timeout_s: Any):
    with pytest.raises(Invalid, match=r"^timeout_s is .* at most 120"):
        frames.read_infer({"type": "infer", "id": "a", "inputs": "a", "timeout_s": timeout_s}, LONGEST_S)


def test_an_unknown_field_of_a_frame_is_named_with_the_known_ones():
    with pytest.raises(Invalid) as raised:
        frames.read_infer(frame(type="infer", id="a", inputs="a", timeout=3), LONGEST_S)
    known = "type, id, pipeline, timeout_s, traceparent, inputs, parameters, stream"
    assert raised.value.message == f"There is no field 'timeout'; known are: {known}."


# WebSocket: frames out

WRITER = frames.FrameWriter("a", RequestContext(transport="websocket", id="r"))


def result(outputs: list[Any], times: Times | None = None, **fields: Any) -> RequestResult:
    query = Query(inputs=["a"], many=len(outputs) > 1, stream=fields.get("generation") is not None)
    return make_result(query, outputs, times=times or Times(total_ms=1.0), **fields)


def generated(**fields: Any) -> GenerationResult:
    generation = make_generation("b", **fields)
    generation.finish(Generation("length", 5, 2, 1.0, 1.0, token(1, "c")))
    return generation


def test_a_frame_leaves_out_what_is_not_known():
    assert json.loads(frames.write("pong", None, request_id=None)) == {"type": "pong"}


def test_a_frame_keeps_what_is_false_or_zero():
    assert json.loads(frames.write("started", "", batch_size=0)) == {"type": "started", "id": "", "batch_size": 0}


def test_a_result_has_output_and_times():
    times = Times(queue_ms=1.23456, inference_ms=2.0, total_ms=3.3333333, batch_size=4)
    [written] = WRITER.end(result([OUTPUT], times))
    assert json.loads(written) == {
        "type": "result",
        "id": "a",
        "request_id": "r",
        "output": [{"score": 0.5}],
        "queue_ms": 1.235,
        "inference_ms": 2.0,
        "total_ms": 3.333,
        "batch_size": 4,
    }


def test_the_outputs_of_a_list_are_joined_in_a_frame():
    [written] = WRITER.end(result([b"1", b'{"b": "\xc3\xa9"}']))
    assert json.loads(written)["output"] == [1, {"b": "é"}]


def test_a_token_frame():
    [written] = WRITER.token(token(2, "é"), make_generation())
    assert json.loads(written) == {"type": "token", "id": "a", "index": 2, "token": 102, "text": "é", "logprob": -0.5}


def test_a_probability_that_is_not_known_is_left_out_of_a_token_frame():
    [written] = WRITER.token(msgspec.structs.replace(token(0, "a"), logprob=float("nan")), make_generation())
    assert "logprob" not in json.loads(written)


def test_a_token_frame_tells_the_likeliest_tokens_if_there_are_any():
    [written] = WRITER.token(msgspec.structs.replace(token(0, "a"), top=((7, "b", -0.25),)), make_generation())
    assert json.loads(written)["top_tokens"] == [{"id": 7, "text": "b", "logprob": -0.25}]


@pytest.mark.parametrize(
    ("reason", "told"), [("eos_token", "stop"), ("stop_sequence", "stop"), ("length", "length")], ids=str
)
def test_a_result_of_a_generation_says_how_it_came_about(reason: Any, told: str):
    generation = generated(seed=3)
    generation.finish_reason = reason
    last, written = map(json.loads, WRITER.end(result([b"1"], generation=generation)))
    assert (last["type"], last["text"]) == ("token", "c")
    assert written["finish_reason"] == told
    assert (written["prompt_tokens"], written["generated_tokens"], written["seed"]) == (5, 2, 3)
    assert {"first_token_ms", "token_ms"} <= written.keys()


def test_a_generation_that_was_cancelled_does_not_know_its_prompt():
    written = json.loads(WRITER.cancelled(Query(inputs=["a"], many=False, stream=True), make_generation("b")))
    assert written["output"] == [{"generated_text": "ab"}]
    assert (written["finish_reason"], written["generated_tokens"]) == ("cancelled", 1)
    assert "prompt_tokens" not in written


def test_a_cancelled_stream_has_the_prompt_only_if_it_is_wanted():
    query = Query(inputs=["a"], many=False, parameters={"return_full_text": False}, stream=True)
    assert json.loads(WRITER.cancelled(query, make_generation("b")))["output"] == [{"generated_text": "b"}]


def test_a_request_that_is_cancelled_before_its_first_token_ends_in_an_error():
    assert json.loads(WRITER.cancelled(Query(inputs=["a"], many=False), None))["code"] == "cancelled"


@pytest.mark.parametrize("chat", [[{"role": "user", "content": "a"}], [{"role": "user"}, {}]], ids=str)
def test_a_chat_is_one_input(chat: Any):
    assert read_json(inputs=chat) == Query(inputs=[chat], many=False)
    assert read_json(inputs=[chat, "a"]) == Query(inputs=[chat, "a"], many=True)


@pytest.mark.parametrize(
    ("parameters", "asked"), [({"details": True}, True), ({"details": 1}, None), ({}, None), ("details", None)], ids=str
)
def test_what_is_asked_of_a_flag(parameters: Any, asked: bool | None):
    assert Query.of("a", parameters=parameters).flag("details") is asked


@pytest.mark.parametrize(
    ("fields", "tokens_for", "parameters"),
    [
        ({"parameters": {"details": True, "top_k": 2}}, "details", {"top_k": 2}),
        ({"parameters": {"details": False, "decoder_input_details": False}}, None, {}),
        ({"parameters": {"details": None, "decoder_input_details": None}}, None, {}),
        ({"parameters": {"details": True}, "stream": True}, "stream", {}),
        ({"parameters": {"top_k": 2}}, None, {"top_k": 2}),
    ],
    ids=str,
)
def test_details_are_asked_for_among_the_parameters(fields: Any, tokens_for: str | None, parameters: Any):
    query = read_json(inputs="a", **fields)
    assert (query.tokens_for, query.parameters) == (tokens_for, parameters)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"details": 1}, "Parameter details is a number; it must be true or false."),
        ({"decoder_input_details": True}, "Parameter decoder_input_details must be false; "),
        ({"decoder_input_details": 0}, "Parameter decoder_input_details must be false; "),
    ],
    ids=str,
)
def test_wrong_values_of_what_shapes_the_answer_are_refused(parameters: Any, sentence: str):
    body = json.dumps({"inputs": "a", "parameters": parameters}).encode()
    assert refusal(body).message.startswith(sentence)


def test_an_error_frame_has_code_and_message():
    assert json.loads(frames.write_error("a", Cancelled("Cancelled, as asked."), "r")) == {
        "type": "error",
        "id": "a",
        "request_id": "r",
        "code": "cancelled",
        "message": "Cancelled, as asked.",
    }


def test_an_error_frame_says_when_to_retry():
    assert json.loads(frames.write_error(None, Overloaded("Later.", retry_after_s=2))) == {
        "type": "error",
        "code": "overloaded",
        "message": "Later.",
        "retry_after": 2,
    }


@steady
@given(st.text(max_size=64), st.text())
def test_any_id_and_message_make_one_valid_frame(client_id: str, message: str):
    written = frames.write_error(client_id, Invalid(message))
    assert json.loads(written) == {"type": "error", "id": client_id, "code": "validation", "message": message}
    assert not re.search(r"[\x00-\x1f]", written)


# What both share


def test_a_hint_follows_the_sentence():
    with pytest.raises(Malformed, match=r"\. Try again\.$"):
        decode_object("{", hint=" Try again.")


def test_the_last_of_two_fields_of_one_name_counts():
    assert decode_object('{"a": 1, "a": 2}') == {"a": 2}


def test_more_fields_can_be_allowed():
    assert read_query({"inputs": "a", "id": "b"}, also=("id",)) == Query(inputs=["a"], many=False)


def test_a_query_reads_no_field_twice():
    fields = {"inputs": ["a"], "parameters": {"top_k": 1}}
    before = msgspec.json.encode(fields)
    read_query(fields)
    assert msgspec.json.encode(fields) == before
