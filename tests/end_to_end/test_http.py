"""``POST /``, health and errors of docs/protocol.md: embedded, distributed, and in a project below a prefix."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import CLIENT_S, Reference
from tests.processes import Web

pytestmark = [
    pytest.mark.timeout(600),  # the first test that needs a server waits for its start
    pytest.mark.parametrize("server", ["embedded", "distributed", "below_a_prefix"], indirect=True),
]

TEXT = "test [MASK]"
JSON = {"content-type": "application/json"}
Headers = dict[str, str]


def error_of(reply: httpx.Response) -> tuple[int, str, str]:
    """Status, code and sentence, after checking what all errors have in common."""
    body = reply.json()
    assert body.keys() == {"error", "error_type"}
    sentence = body["error"]
    assert re.fullmatch(r"\S.*\.", sentence), sentence
    assert "Traceback" not in sentence
    check_headers(reply)
    return reply.status_code, body["error_type"], sentence


def check_headers(reply: httpx.Response) -> None:
    headers = reply.headers
    assert headers["content-type"] == "application/json"
    assert int(headers["content-length"]) == len(reply.content)
    assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])
    queue, inference, total = (float(headers[f"x-{kind}-time"]) for kind in ("queue", "inference", "total"))
    assert 0 <= queue <= total
    assert 0 <= inference <= total
    assert 0 <= int(headers["x-batch-size"]) <= 32


def post_json(http: httpx.Client, body: object, **headers: str) -> httpx.Response:
    return http.post("/", content=json.dumps(body), headers=JSON | headers)


# What is served


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "text/plain; charset=utf-8", "application/x-www-form-urlencoded", "application/octet-stream"],
)
def test_text_is_taken_as_it_is(http: httpx.Client, reference: Reference, content_type: str) -> None:
    reply = http.post("/", content=TEXT, headers={"content-type": content_type} if content_type else {})

    assert reply.status_code == 200, reply.text
    check_headers(reply)
    assert [entry.keys() for entry in reply.json()] == [{"score", "token", "token_str", "sequence"}] * 5
    reference.check(reply.json(), TEXT)


@pytest.mark.parametrize(
    "text",
    [
        "a=1&b=[MASK]",
        "100% of [MASK] + more",
        "Zoë said: “[MASK]” 🙂",
        "  two\nlines and [MASK]\n",
        "[MASK]",
        "\0[MASK]",
    ],
)
def test_no_character_is_changed_on_the_way(http: httpx.Client, reference: Reference, text: str) -> None:
    reply = http.post("/", content=text, headers={"content-type": "application/x-www-form-urlencoded"})

    reference.check(reply.json(), text)


@pytest.mark.parametrize("headers", [JSON, {"content-type": "application/json; charset=utf-8"}, {}])
def test_json_is_known_by_its_type_or_its_first_character(
    http: httpx.Client, reference: Reference, headers: Headers
) -> None:
    reply = http.post("/", content=b'\r\n {"inputs": "test [MASK]"}', headers=headers)

    assert reply.status_code == 200, reply.text
    reference.check(reply.json(), TEXT)


def test_text_plain_is_never_json(http: httpx.Client, reference: Reference) -> None:
    text = '{"inputs": "test [MASK]"}'

    reply = http.post("/", content=text, headers={"content-type": "text/plain"})

    reference.check(reply.json(), text)


def test_a_list_of_inputs_gives_a_list_in_the_same_order(
    http: httpx.Client, reference: Reference, make_texts: Callable[..., list[str]]
) -> None:
    texts = make_texts(40, 3, 30)

    reply = post_json(http, {"inputs": texts})

    check_headers(reply)
    assert int(reply.headers["x-batch-size"]) > 1
    assert len(reply.json()) == len(texts)
    reference.check_all(reply.json(), texts)


def test_a_list_of_one_gives_a_list_of_one(http: httpx.Client, reference: Reference) -> None:
    (answer,) = post_json(http, {"inputs": [TEXT]}).json()

    reference.check(answer, TEXT)


def test_two_masks_give_two_lists(http: httpx.Client, reference: Reference) -> None:
    text = "the [MASK] sat on the [MASK]."

    answer = post_json(http, {"inputs": text}).json()

    assert [len(of_mask) for of_mask in answer] == [5, 5]
    reference.check(answer, text)


@pytest.mark.parametrize(
    "parameters",
    [
        {"top_k": 1},
        {"top_k": 1000},
        {"targets": ["bread", "salt", "stone"]},
        {"targets": ["bread", "salt", "stone"], "top_k": 2},
        {"targets": ["a word that is not in the vocabulary"]},
        {},
    ],
)
def test_parameters_mean_what_they_mean_to_the_pipeline(
    http: httpx.Client, reference: Reference, parameters: dict[str, Any]
) -> None:
    text = "they sell [MASK] in the market."

    reply = post_json(http, {"inputs": text, "parameters": parameters})

    assert reply.status_code == 200, reply.text
    reference.check(reply.json(), text, **parameters)


@pytest.mark.parametrize("more", [{"parameters": None}, {"options": {"use_cache": False}}, {"stream": False}])
def test_fields_that_change_nothing(http: httpx.Client, reference: Reference, more: dict[str, Any]) -> None:
    reply = post_json(http, {"inputs": TEXT} | more)

    reference.check(reply.json(), TEXT)


def test_a_request_may_bring_its_deadline(http: httpx.Client) -> None:
    for seconds in ("20.5", "30", "120", "3e1"):
        assert http.post("/", content=TEXT, headers={"x-request-timeout-seconds": seconds}).status_code == 200


def test_request_ids_are_unique_and_times_add_up(http: httpx.Client) -> None:
    replies = [http.post("/", content=TEXT) for _ in range(5)]

    assert len({reply.headers["x-request-id"] for reply in replies}) == 5
    for reply in replies:
        queue, inference, total = (float(reply.headers[f"x-{kind}-time"]) for kind in ("queue", "inference", "total"))
        assert inference > 0
        assert queue + inference <= total
        assert reply.headers["x-batch-size"] == "1"


def test_connections_are_kept(http: httpx.Client) -> None:
    ports = set()
    for text in (TEXT, "no mask", TEXT):
        with http.stream("POST", "/", content=text) as reply:
            reply.read()
            ports.add(reply.extensions["network_stream"].get_extra_info("client_addr")[1])

    assert len(ports) == 1


# Errors


@pytest.mark.parametrize(
    ("headers", "body", "status", "code", "words"),
    [
        ({}, b"", 400, "empty", "empty"),
        ({}, b" \r\n\t ", 400, "empty", "empty"),
        (JSON, b'{"inputs": ""}', 400, "empty", "empty"),
        (JSON, b'{"inputs": "  "}', 400, "empty", "empty"),
        (JSON, b'{"inputs": []}', 400, "empty", "empty list"),
        (JSON, b'{"inputs": ["[MASK]", ""]}', 400, "empty", r"inputs\[1\]"),
        ({}, b"\xff\xfe [MASK]", 400, "validation", "UTF-8"),
        (JSON, b'{"inputs": "\xff [MASK]"}', 400, "validation", "JSON"),
        (JSON, b"", 400, "validation", "JSON"),
        (JSON, b"test [MASK]", 400, "validation", "JSON"),
        (JSON, b'{"inputs": "[MASK]"', 400, "validation", "JSON"),
        (JSON, b'{"inputs": NaN}', 400, "validation", "JSON"),
        (JSON, b'{"inputs": "[MASK]"} trailing', 400, "validation", "JSON"),
        (JSON, b"[" * 100_000, 400, "validation", "nested"),
        (JSON, b'["test [MASK]"]', 400, "validation", "object"),
        (JSON, b'"test [MASK]"', 400, "validation", "object"),
        (JSON, b"null", 400, "validation", "object"),
        ({}, b"{test [MASK]}", 400, "validation", "text/plain"),
        (JSON, b"{}", 400, "validation", "inputs"),
        (JSON, b'{"input": "[MASK]"}', 422, "validation", "'input'"),
        (JSON, b'{"inputs": 5}', 422, "validation", "a number"),
        (JSON, b'{"inputs": null}', 422, "validation", "null"),
        (JSON, b'{"inputs": {"text": "[MASK]"}}', 422, "validation", "an object"),
        (JSON, b'{"inputs": ["[MASK]", 1]}', 422, "validation", r"inputs\[1\] is a number"),
        (JSON, b'{"inputs": [["[MASK]"]]}', 422, "validation", "a list"),
        ({}, b"no mask here", 422, "validation", r"\[MASK\]"),
        (JSON, b'{"inputs": ["[MASK]", "none"]}', 422, "validation", r"inputs\[1\].*\[MASK\]"),
        (JSON, b'{"inputs": "[MASK]", "stream": true}', 422, "validation", "stream"),
        (JSON, b'{"inputs": "[MASK]", "stream": 1}', 422, "validation", "stream"),
        (JSON, b'{"inputs": "[MASK]", "parameters": []}', 422, "validation", "parameters"),
        (JSON, b'{"inputs": "[MASK]", "parameters": {"padding": 9}}', 422, "validation", "padding.*top_k"),
        (JSON, b'{"inputs": "[MASK]", "parameters": {"top_k": 0}}', 422, "validation", "top_k is 0.*from 1"),
        (JSON, b'{"inputs": "[MASK]", "parameters": {"top_k": true}}', 422, "validation", "top_k is True"),
        (JSON, b'{"inputs": "[MASK]", "parameters": {"top_k": 2.5}}', 422, "validation", "top_k is 2.5"),
        (JSON, b'{"inputs": "[MASK]", "parameters": {"top_k": "3"}}', 422, "validation", "top_k is '3'"),
        (JSON, b'{"inputs": "[MASK]", "parameters": {"top_k": 1001}}', 422, "validation", "top_k is 1001.*to 1000"),
        (JSON, b'{"inputs": "[MASK]", "parameters": {"targets": "salt"}}', 422, "validation", "targets is 'salt'"),
        (JSON, b'{"inputs": "[MASK]", "parameters": {"targets": []}}', 422, "validation", "targets"),
        (JSON, b'{"inputs": "[MASK]", "parameters": {"targets": [""]}}', 422, "validation", "targets"),
        (JSON, b'{"inputs": "[MASK]", "parameters": {"targets": ["  "]}}', 422, "validation", "target"),
        (JSON, b'{"inputs": "[MASK]", "parameters": {"targets": ["\\u200b"]}}', 422, "validation", "target"),
    ],
)
def test_errors_say_what_was_wrong(
    http: httpx.Client, headers: Headers, body: bytes, status: int, code: str, words: str
) -> None:
    reply = http.post("/", content=body, headers=headers)

    assert error_of(reply)[:2] == (status, code), reply.text
    assert re.search(words, reply.json()["error"], re.DOTALL), reply.json()["error"]


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "120.1", "soon", "1,5"])
def test_a_deadline_that_is_none(http: httpx.Client, seconds: str) -> None:
    reply = http.post("/", content=TEXT, headers={"x-request-timeout-seconds": seconds})

    assert error_of(reply)[:2] == (422, "validation")
    assert "x-request-timeout-seconds" in reply.json()["error"]
    assert "120" in reply.json()["error"]


@pytest.mark.parametrize(("words", "tokens"), [(600, 603), (510, 513)])
def test_too_many_tokens_are_refused_with_limit_and_actual(http: httpx.Client, words: int, tokens: int) -> None:
    status, code, sentence = error_of(http.post("/", content="[MASK] " + "stone " * words))

    assert (status, code) == (422, "validation")
    assert f"{tokens} tokens" in sentence
    assert "512" in sentence


@pytest.mark.parametrize(
    ("text", "top_k", "advice"),
    [("[MASK] " + "stone " * 509, 1000, "a top_k of 195 is possible"), ("[MASK]" * 400, 1, "send fewer masks")],
)
def test_answers_far_larger_than_the_question_are_refused(
    http: httpx.Client, text: str, top_k: int, advice: str
) -> None:
    """Each candidate has the whole text: a few hundred masks would keep the model for a minute."""
    reply = post_json(http, {"inputs": text, "parameters": {"top_k": top_k}})

    assert error_of(reply)[:2] == (422, "validation")
    assert advice in reply.json()["error"]


def test_the_longest_input_is_answered(http: httpx.Client, reference: Reference) -> None:
    text = "[MASK] " + "stone " * 509

    reference.check(http.post("/", content=text).json(), text)


def test_too_many_characters_are_refused_before_they_are_tokenized(http: httpx.Client) -> None:
    status, code, sentence = error_of(http.post("/", content="[MASK] " + "x" * 40_000))

    assert (status, code) == (422, "validation")
    assert "40007 characters" in sentence
    assert "512" in sentence


def test_one_long_input_of_a_list_is_named(http: httpx.Client) -> None:
    reply = post_json(http, {"inputs": [TEXT, TEXT, "[MASK] " + "stone " * 600]})

    assert error_of(reply)[:2] == (422, "validation")
    assert "inputs[2]" in reply.json()["error"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_limit_is_refused(http: httpx.Client, *, chunked: bool) -> None:
    body = b"[MASK]" + b"x" * 2**20

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    reply = http.post("/", content=chunks() if chunked else body)

    assert error_of(reply)[:2] == (413, "payload_too_large")
    assert str(2**20) in reply.json()["error"]


def test_a_body_at_the_limit_is_read(http: httpx.Client) -> None:
    assert error_of(http.post("/", content=b"[MASK]" + b"x" * (2**20 - 6)))[0] == 422


def test_the_number_of_inputs_is_limited(http: httpx.Client) -> None:
    assert len(post_json(http, {"inputs": [TEXT] * 128}).json()) == 128

    status, code, sentence = error_of(post_json(http, {"inputs": [TEXT] * 129}))

    assert (status, code) == (413, "payload_too_large")
    assert "129" in sentence
    assert "128" in sentence


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/", "GET, HEAD, POST"),
        ("PATCH", "/", "GET, HEAD, POST"),
        ("DELETE", "/", "GET, HEAD, POST"),
        ("POST", "/health/live", "GET, HEAD"),
        ("POST", "/health/ready", "GET, HEAD"),
        ("POST", "/health", "GET, HEAD"),
        ("POST", "/info", "GET, HEAD"),
        ("PUT", "/pipelines/default", "GET, HEAD, POST"),
        ("POST", "/pipelines/default/info", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(http: httpx.Client, method: str, path: str, allow: str) -> None:
    reply = http.request(method, path)

    assert error_of(reply)[:2] == (405, "method_not_allowed")
    assert reply.headers["allow"] == allow


@pytest.mark.parametrize("path", ["/predictions", "/ws", "/ws/", "/health//", "/%00", "/..%2fetc/passwd"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unknown_paths(http: httpx.Client, method: str, path: str) -> None:
    reply = http.request(method, path)

    assert error_of(reply)[:2] == (404, "not_found")


def test_a_list_is_answered_in_part_where_the_client_prefers_that(http: httpx.Client) -> None:
    body = {"inputs": [TEXT, "no mask", 3, TEXT]}
    assert error_of(http.post("/", json=body))[0] == 422

    reply = http.post("/", json=body, headers={"prefer": "respond-async, Return=Partial"})
    first, no_mask, number, last = reply.json()
    assert (reply.status_code, reply.headers["preference-applied"]) == (200, "return=partial")
    assert len(first) == len(last) == 5
    assert no_mask["error_type"] == number["error_type"] == "validation"
    assert no_mask["error"].startswith("The input has no ")


def test_a_slash_at_the_end_makes_no_difference(http: httpx.Client) -> None:
    assert http.get("/health/live/").json() == http.get("/health/live").json() == {"status": "live"}


@pytest.mark.parametrize(("host", "status"), [("localhost", 200), ("127.0.0.1:1", 200), ("evil.example", 400)])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_only_allowed_hosts_are_served(http: httpx.Client, method: str, host: str, status: int) -> None:
    reply = http.request(method, "/", content=TEXT if method == "POST" else None, headers={"host": host})

    assert reply.status_code == status
    if status == 400:
        assert "see ALLOWED_HOSTS" in error_of(reply)[2]


def test_a_deadline_that_passes(server: Web, http: httpx.Client) -> None:
    with server.hold():
        reply = http.post("/", content=TEXT, headers={"x-request-timeout-seconds": "0.05"})

    status, code, sentence = error_of(reply)
    assert (status, code) == (504, "timeout")
    assert "deadline" in sentence
    assert 50 <= float(reply.headers["x-total-time"]) < 30_000, "its own deadline, not that of all"


async def test_overload_is_refused_at_once_and_passes(server: Web, make_texts: Callable[..., list[str]]) -> None:
    """Three lists are within a client's share; the others are refused before any of these is answered."""
    texts, longest = {"inputs": make_texts(128, 8, 10)}, {"x-request-timeout-seconds": "120"}
    async with open_client(server) as http:
        with server.hold():
            asked = [asyncio.create_task(http.post("/", json=texts, headers=longest)) for _ in range(8)]
            refused = [await reply for _, reply in zip(range(5), asyncio.as_completed(asked), strict=False)]
        replies = await asyncio.gather(*asked)
        after = await http.post("/", content=TEXT)

    for reply in refused:
        assert error_of(reply)[:2] == (503, "overloaded")
        assert int(reply.headers["retry-after"]) >= 1
    assert [len(reply.json()) for reply in replies if reply not in refused] == [128] * 3
    assert after.status_code == 200


def open_client(server: Web) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.url, trust_env=False, verify=False, timeout=CLIENT_S)  # noqa: S501


async def test_bad_inputs_leave_the_others_answered(
    server: Web, reference: Reference, make_texts: Callable[..., list[str]]
) -> None:
    too_long = "[MASK] " + "stone " * 600
    bad: list[tuple[dict[str, Any], int]] = [
        ({"content": too_long}, 422),
        ({"json": {"inputs": [TEXT, too_long]}}, 422),
        ({"content": "no mask"}, 422),
        ({"content": b"\xff"}, 400),
        ({"content": "{"}, 400),
        ({"json": {"inputs": TEXT, "parameters": {"top_k": -1}}}, 422),
        ({"json": {"inputs": [TEXT] * 129}}, 413),
        ({"content": TEXT, "headers": {"x-request-timeout-seconds": "0.0001"}}, 504),
    ]
    good = make_texts(64)
    reference.learn(good)
    async with open_client(server) as http:

        async def ask_good(text: str) -> None:
            reply = await http.post("/", content=text)
            assert reply.status_code == 200, reply.text
            reference.check(reply.json(), text)

        async def ask_bad(request: dict[str, Any], status: int) -> None:
            reply = await http.post("/", **request)
            assert reply.status_code == status, reply.text
            error_of(reply)

        async with asyncio.TaskGroup() as clients:
            for number, text in enumerate(good):
                clients.create_task(ask_good(text))
                clients.create_task(ask_bad(*bad[number % len(bad)]))


# Health and the front page


def test_health(http: httpx.Client) -> None:
    for path, status in (("/health/live", "live"), ("/health/ready", "ready")):
        reply = http.get(path)
        assert reply.status_code == 200
        assert reply.json() == {"status": status}
        assert reply.headers["content-type"] == "application/json"


def test_head_is_get_without_a_body(http: httpx.Client) -> None:
    for path in ("/", "/health/live", "/health/ready"):
        got, head = http.get(path), http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(got.content))


def test_a_browser_gets_a_page(http: httpx.Client) -> None:
    reply = http.get("/")

    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert "fill-mask" in reply.text
    assert "curl" in reply.text
