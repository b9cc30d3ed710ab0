"""``/ws/`` of docs/protocol.md: embedded, distributed, and in a project below a prefix."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets import ClientConnection, Headers, connect
from websockets.exceptions import InvalidStatus

from tests.conftest import CLIENT_S, Reference
from tests.processes import Web

pytestmark = [
    pytest.mark.timeout(600),  # the first test that needs a server waits for its start
    pytest.mark.parametrize("server", ["embedded", "distributed", "below_a_prefix"], indirect=True),
]

TEXT = "test [MASK]"
Frame = dict[str, Any]


class Socket:
    """A client: sends frames, and sorts what comes by its id."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, **frame: Any) -> None:
        await self.connection.send(json.dumps(frame))

    async def infer(self, client_id: str, inputs: Any = TEXT, **more: Any) -> None:
        await self.send(type="infer", id=client_id, inputs=inputs, **more)

    async def next(self) -> Frame:
        async with asyncio.timeout(CLIENT_S):
            frame = json.loads(await self.connection.recv())
        assert isinstance(frame, dict)
        return frame

    async def until(self, *kinds: str) -> list[Frame]:
        """Frames up to the first of one of these types."""
        frames = [await self.next()]
        while frames[-1]["type"] not in kinds:
            frames.append(await self.next())
        return frames

    async def until_closed(self, client_id: str) -> list[Frame]:
        """The frames of one id, up to its ``result`` or ``error``; those of others are dropped."""
        frames = []
        while True:
            frame = await self.next()
            if frame.get("id") == client_id:
                frames.append(frame)
                if frame["type"] in ("result", "error"):
                    return frames

    async def still_works(self) -> None:
        await self.infer("probe")
        assert (await self.until_closed("probe"))[-1]["type"] == "result"


@asynccontextmanager
async def open_socket(
    server: Web, *, path: str = "", origin: str | None = None, **headers: str
) -> AsyncIterator[Socket]:
    more = Headers(**headers) if origin is None else Headers(origin=origin, **headers)
    # Without a bound on frames that wait to be read: a full queue would delay closing.
    options: dict[str, Any] = {"proxy": None, "max_size": 2**26, "max_queue": None}
    async with connect(server.socket_url + path, additional_headers=more, **options) as connection:
        yield Socket(connection)


@pytest.fixture
async def socket(server: Web) -> AsyncIterator[Socket]:
    async with open_socket(server) as opened:
        yield opened


def check_error(frame: Frame, code: str, words: str = "", client_id: str | None = None) -> None:
    assert (frame["type"], frame["code"]) == ("error", code), frame
    assert frame.get("id") == client_id
    assert re.fullmatch(r"[0-9a-f]{32}", frame["request_id"])
    assert re.fullmatch(r"\S.*\.", frame["message"])
    assert re.search(words, frame["message"]), frame["message"]


# Answers


async def test_a_request_is_accepted_started_and_answered(socket: Socket, reference: Reference) -> None:
    await socket.infer("a")

    accepted, started, result = await socket.until("result", "error")
    assert accepted.keys() == {"type", "id", "request_id", "pipeline", "model_version"}
    assert accepted["type"] == "accepted"
    assert started == {"type": "started", "id": "a", "batch_size": 1}
    assert result["type"] == "result"
    assert {accepted["id"], result["id"]} == {"a"}
    assert result["request_id"] == accepted["request_id"]
    assert result["batch_size"] == 1
    assert result["queue_ms"] >= 0
    assert result["inference_ms"] > 0
    assert result["queue_ms"] + result["inference_ms"] <= result["total_ms"]
    reference.check(result["output"], TEXT)


async def test_lists_and_parameters(socket: Socket, reference: Reference) -> None:
    texts = [TEXT, "the [MASK] of [MASK]."]

    await socket.infer("list", texts, parameters={"top_k": 2}, timeout_s=20, stream=False)

    frames = await socket.until_closed("list")
    assert [frame["type"] for frame in frames].count("accepted") == 1
    for text, answer in zip(texts, frames[-1]["output"], strict=True):
        reference.check(answer, text, top_k=2)


async def test_many_at_once_each_under_its_id(
    server: Web, socket: Socket, reference: Reference, make_texts: Callable[..., list[str]]
) -> None:
    texts = {f"id {number}": text for number, text in enumerate(make_texts(100))}
    with server.hold():
        for client_id, text in texts.items():
            await socket.infer(client_id, text)

    seen: dict[str, list[str]] = {client_id: [] for client_id in texts}
    results: dict[str, Frame] = {}
    while len(results) < len(texts):
        frame = await socket.next()
        seen[frame["id"]].append(frame["type"])
        if frame["type"] == "result":
            results[frame["id"]] = frame

    assert set(map(tuple, seen.values())) == {("accepted", "started", "result")}
    assert max(frame["batch_size"] for frame in results.values()) > 1
    assert len({frame["request_id"] for frame in results.values()}) == len(texts)
    reference.check_all([results[client_id]["output"] for client_id in texts], list(texts.values()))


async def test_an_id_is_free_again_after_its_answer(socket: Socket) -> None:
    for _ in range(3):
        await socket.infer("same")
        assert (await socket.until_closed("same"))[-1]["type"] == "result"


async def test_ids_belong_to_their_socket(server: Web, reference: Reference) -> None:
    async with open_socket(server) as one, open_socket(server) as other:
        await one.infer("same", "one [MASK]")
        await other.infer("same", "two [MASK]")

        reference.check((await one.until_closed("same"))[-1]["output"], "one [MASK]")
        reference.check((await other.until_closed("same"))[-1]["output"], "two [MASK]")


async def test_ping(socket: Socket) -> None:
    await socket.send(type="ping")
    assert await socket.next() == {"type": "pong"}

    await socket.send(type="ping", id="p")
    assert await socket.next() == {"type": "pong", "id": "p"}


# Cancelling


async def test_a_cancelled_request_ends_in_an_error(
    server: Web, socket: Socket, make_texts: Callable[..., list[str]]
) -> None:
    with server.hold():
        await socket.infer("long", make_texts(128, 60, 80))
        accepted = (await socket.until("accepted"))[-1]

        await socket.send(type="cancel", id="long")

        error = (await socket.until_closed("long"))[-1]
    check_error(error, "cancelled", client_id="long")
    assert server.row(accepted["request_id"])["status"] == "cancelled"
    await socket.still_works()


async def test_cancelling_one_leaves_the_others(
    server: Web, socket: Socket, make_texts: Callable[..., list[str]]
) -> None:
    last: dict[str, Frame] = {}

    async def until(closed: int) -> None:
        while len(last) < closed:
            frame = await socket.next()
            if frame["type"] in ("result", "error"):
                assert frame["id"] not in last
                last[frame["id"]] = frame

    with server.hold():
        await socket.infer("long", make_texts(64, 40, 50))
        for number in range(20):
            await socket.infer(str(number))
        for number in range(1, 20, 2):
            await socket.send(type="cancel", id=str(number))
        await until(10)
    await until(21)
    for number in range(20):
        if number % 2:
            check_error(last[str(number)], "cancelled", client_id=str(number))
        else:
            assert last[str(number)]["type"] == "result"
    assert last["long"]["type"] == "result"


async def test_closing_the_socket_cancels_its_requests(server: Web, make_texts: Callable[..., list[str]]) -> None:
    request_ids = []
    with server.hold():
        async with open_socket(server) as closing:
            for number in range(3):
                await closing.infer(str(number), make_texts(64, 60, 80))
                request_ids.append((await closing.until("accepted"))[-1]["request_id"])

        rows = [await asyncio.to_thread(server.row, request_id) for request_id in request_ids]
    assert {(row["status"], row["code"], row["transport"], row["inputs"]) for row in rows} == {
        ("cancelled", "cancelled", "websocket", 64)
    }
    async with open_socket(server) as next_one:
        await next_one.still_works()


# Errors


@pytest.mark.parametrize(
    ("frame", "code", "words"),
    [
        ("", "validation", "JSON"),
        ("test [MASK]", "validation", "JSON"),
        ('{"type": "infer"', "validation", "JSON"),
        ("[]", "validation", "a list"),
        ("5", "validation", "a number"),
        ("[" * 50_000, "validation", "nested"),
        (b'{"type": "ping"}', "validation", "binary"),
        (b"", "validation", "binary"),
        ("{}", "validation", "'type' is null.*infer, cancel, ping"),
        ('{"type": "predict", "id": "a"}', "validation", "'type' is 'predict'"),
        ('{"type": ["infer"], "id": "a"}', "validation", "'type' is a list"),
        ('{"type": "infer", "inputs": "[MASK]"}', "validation", "'id' is null"),
        ('{"type": "infer", "id": 7, "inputs": "[MASK]"}', "validation", "'id' is a number"),
        ('{"type": "infer", "id": "", "inputs": "[MASK]"}', "validation", "'id' is ''"),
        ('{"type": "infer", "id": "%s", "inputs": "[MASK]"}' % ("x" * 65), "validation", "64"),
        ('{"type": "ping", "id": 7}', "validation", "'id' is a number"),
        ('{"type": "cancel"}', "validation", "'id' is null"),
    ],
)
async def test_a_bad_frame_gets_an_error_and_the_socket_stays_open(
    socket: Socket, frame: str | bytes, code: str, words: str
) -> None:
    await socket.connection.send(frame)

    check_error(await socket.next(), code, words)
    await socket.still_works()


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({}, "validation", "no 'inputs'"),
        ({"inputs": ""}, "empty", "empty"),
        ({"inputs": []}, "empty", "empty list"),
        ({"inputs": 5}, "validation", "a number"),
        ({"inputs": "no mask"}, "validation", r"\[MASK\]"),
        ({"inputs": [TEXT, "no mask"]}, "validation", r"inputs\[1\]"),
        ({"inputs": "[MASK] " + "stone " * 600}, "validation", "603 tokens.*512"),
        ({"inputs": [TEXT] * 129}, "payload_too_large", "129.*128"),
        ({"inputs": TEXT, "input": 1}, "validation", "'input'"),
        ({"inputs": TEXT, "parameters": {"top_k": 0}}, "validation", "top_k is 0"),
        ({"inputs": TEXT, "parameters": "top_k"}, "validation", "parameters"),
        ({"inputs": TEXT, "stream": True}, "validation", "stream"),
        ({"inputs": TEXT, "timeout_s": 0}, "validation", "timeout_s is '0'.*120"),
        ({"inputs": TEXT, "timeout_s": True}, "validation", "timeout_s"),
        ({"inputs": TEXT, "timeout_s": 121}, "validation", "timeout_s is '121'"),
        ({"inputs": TEXT, "timeout_s": 0.0001}, "timeout", "deadline"),
    ],
)
async def test_a_request_that_fails_ends_in_one_error_under_its_id(
    socket: Socket, fields: Frame, code: str, words: str
) -> None:
    await socket.send(type="infer", id="x", **fields)

    *before, error = await socket.until_closed("x")
    assert {frame["type"] for frame in before} <= {"accepted", "started"}
    check_error(error, code, words, client_id="x")
    await socket.still_works()


async def test_an_open_id_is_taken(server: Web, socket: Socket) -> None:
    with server.hold():
        await socket.infer("same")
        await socket.infer("same")

        frames = await socket.until("error")
    # Without the id: it would look like the end of the request that is open.
    check_error(frames[-1], "validation", "'same'.*still open")
    assert (await socket.until_closed("same"))[-1]["type"] == "result"


@pytest.mark.parametrize("client_id", ["never seen", "answered"])
async def test_cancelling_what_is_not_open(socket: Socket, client_id: str) -> None:
    await socket.infer("answered")
    await socket.until_closed("answered")

    await socket.send(type="cancel", id=client_id)

    check_error(await socket.next(), "validation", client_id, client_id=client_id)


async def test_requests_per_socket_are_limited(server: Web, socket: Socket) -> None:
    with server.hold():
        for number in range(129):
            await socket.infer(str(number))
        refused = (await socket.until("error"))[-1]

    last: dict[str, Frame] = {}
    while len(last) < 128:
        frame = await socket.next()
        if frame["type"] in ("result", "error"):
            last[frame["id"]] = frame
    check_error(refused, "overloaded", "128", client_id="128")
    assert refused["retry_after"] >= 1
    assert {frame["type"] for frame in last.values()} == {"result"}


async def test_inputs_per_socket_are_limited(server: Web, socket: Socket, make_texts: Callable[..., list[str]]) -> None:
    texts = make_texts(128)
    with server.hold():
        for client_id in ("a", "b", "c"):
            await socket.infer(client_id, texts)
        refused = (await socket.until("error"))[-1]

    last: dict[str, Frame] = {}
    while len(last) < 2:
        frame = await socket.next()
        if frame["type"] in ("result", "error"):
            last[frame["id"]] = frame
    check_error(refused, "overloaded", "256 inputs are open", client_id="c")
    assert refused["retry_after"] >= 1
    assert {last[client_id]["type"] for client_id in "ab"} == {"result"}
    await socket.infer("again", texts)
    await socket.until_closed("again")


async def test_bad_requests_harm_no_other(
    socket: Socket, reference: Reference, make_texts: Callable[..., list[str]]
) -> None:
    texts = make_texts(40)
    for number, text in enumerate(texts):
        await socket.infer(f"good {number}", text)
        await socket.infer(f"bad {number}", "[MASK] " + "stone " * 520 if number % 2 else "no mask")
        await socket.connection.send("{")

    last: dict[str, Frame] = {}
    nameless = 0
    while len(last) < 2 * len(texts) or nameless < len(texts):
        frame = await socket.next()
        if "id" not in frame:
            nameless += 1
        elif frame["type"] in ("result", "error"):
            last[frame["id"]] = frame
    reference.learn(texts)
    for number, text in enumerate(texts):
        check_error(last[f"bad {number}"], "validation", client_id=f"bad {number}")
        reference.check(last[f"good {number}"]["output"], text)


async def test_the_largest_frame_is_read(socket: Socket) -> None:
    await socket.connection.send('{"type": "infer", "id": "big", "inputs": "%s"}' % ("x" * (2**20 - 47)))

    check_error(await socket.next(), "validation", "characters.*512", client_id="big")
    await socket.still_works()


# Who may connect, and where


@pytest.mark.parametrize("origin", ["http://127.0.0.1:1", "https://localhost", "http://localhost:8000"])
async def test_pages_of_an_allowed_host_may_connect(server: Web, origin: str) -> None:
    async with open_socket(server, origin=origin) as socket:
        await socket.still_works()


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1.evil.example", "null", "file://"])
async def test_pages_of_other_hosts_may_not(server: Web, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with open_socket(server, origin=origin):
            pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("path", ["x", "../", "../ws", "../wss/"])
async def test_unknown_paths_are_refused(server: Web, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with open_socket(server, path=path):
            pass
    assert refused.value.response.status_code in (403, 404)


async def test_hosts_that_are_not_served_are_refused(server: Web) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        b"GET /ws/ HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    )
    async with asyncio.timeout(CLIENT_S):
        status_line = await reader.readline()
    writer.close()
    await writer.wait_closed()

    assert b" 403 " in status_line
