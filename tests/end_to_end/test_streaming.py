"""Generated text as it comes, from a real model: over HTTP, over WebSocket, to Hugging Face's own client."""

import asyncio
import html
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import huggingface_hub
import pytest
from huggingface_hub.errors import ValidationError

from tests import processes
from tests.conftest import client
from tests.end_to_end.test_websocket import Frame, Socket, check_error, open_socket
from tests.processes import Redis, Web, figure, wait_until

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

PROMPT = "once upon a time"
GREEDY = {"do_sample": False}
SAMPLED = {"do_sample": True, "temperature": 1.5, "seed": 7}
LONG = 4000
"""Tokens that take seconds; a few can be heard before that."""


@pytest.fixture
def http(generating: Web) -> Iterator[httpx.Client]:
    with client(generating) as opened:
        yield opened


@pytest.fixture
async def socket(generating: Web) -> AsyncIterator[Socket]:
    async with open_socket(generating) as opened:
        yield opened


@pytest.fixture
def stock(generating: Web, monkeypatch: pytest.MonkeyPatch) -> huggingface_hub.InferenceClient:
    """Hugging Face's own client; what keeps tests off the network would stop it too."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return huggingface_hub.InferenceClient(base_url=generating.url)


def ask(inputs: Any = PROMPT, tokens: int = 12, **more: Any) -> dict[str, Any]:
    parameters = {"max_new_tokens": tokens, **GREEDY, **more.pop("parameters", {})}
    return {"inputs": inputs, "parameters": parameters, **more}


def generated(http: httpx.Client, inputs: Any = PROMPT, tokens: int = 12, **parameters: Any) -> Any:
    """Without a stream."""
    reply = http.post("/", json=ask(inputs, tokens, parameters=parameters))
    assert reply.status_code == 200, reply.text
    return reply.json()[0]["generated_text"]


def tokens_of(http: httpx.Client, **parameters: Any) -> list[dict[str, Any]]:
    """The tokens, without a stream."""
    reply = http.post("/", json=ask(parameters={"details": True, **parameters}))
    tokens: list[dict[str, Any]] = reply.json()[0]["details"]["tokens"]
    return tokens


def events(reply: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in reply.iter_lines():
        if line:
            assert line.startswith("data: "), line
            yield json.loads(line.removeprefix("data: "))


def texts(told: list[dict[str, Any]]) -> str:
    return "".join(event["token"]["text"] for event in told)


# HTTP


@pytest.mark.parametrize("how", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_tokens_come_in_order_and_make_the_text(http: httpx.Client, how: dict[str, Any]) -> None:
    with http.stream("POST", "/", json=ask(stream=True, parameters=how)) as reply:
        told = list(events(reply))
    assert reply.headers["content-type"] == "text/event-stream"
    assert reply.headers["cache-control"] == "no-cache"
    assert len(reply.headers["x-request-id"]) == 32
    assert [event["index"] for event in told] == list(range(1, 13))
    assert all(event["generated_text"] is None and event["details"] is None for event in told[:-1])
    end = told[-1]
    assert end["generated_text"] == texts(told) == generated(http, return_full_text=False, **how)
    assert end["details"]["finish_reason"] == "length"
    assert end["details"]["generated_tokens"] == 12
    assert end["details"]["input_length"] > 1
    assert how is GREEDY or end["details"]["seed"] == 7


def test_tokens_come_one_after_the_other(generating: Web, http: httpx.Client) -> None:
    """Not all at the end: the first ones come while the model has not made the others."""
    with generating.hold(after=5), http.stream("POST", "/", json=ask(tokens=LONG, stream=True)) as reply:
        first = next(events(reply))
    assert first["index"] == 1


def test_the_seed_that_was_drawn_is_told_and_gives_the_same_text_again(http: httpx.Client) -> None:
    with http.stream("POST", "/", json=ask(stream=True, parameters={"do_sample": True})) as reply:
        *_, end = events(reply)
    again = generated(http, do_sample=True, seed=end["details"]["seed"], return_full_text=False)
    assert again == end["generated_text"]


def test_the_prompt_comes_before_the_text_only_if_asked_for(http: httpx.Client) -> None:
    with http.stream("POST", "/", json=ask(stream=True, parameters={"return_full_text": True})) as reply:
        told = list(events(reply))
    assert told[-1]["generated_text"] == PROMPT + texts(told) == generated(http)


def test_a_chat_streams_and_answers_with_the_next_message(http: httpx.Client) -> None:
    chat = [{"role": "user", "content": "Hello"}]
    with http.stream("POST", "/", json=ask(chat, stream=True)) as reply:
        told = list(events(reply))
    assert generated(http, chat) == [*chat, {"role": "assistant", "content": texts(told)}]
    assert told[-1]["generated_text"] == texts(told)


def test_a_stop_text_ends_the_stream_after_it(http: httpx.Client) -> None:
    whole = generated(http, tokens=40, return_full_text=False)
    stop = whole[len(whole) // 2 : len(whole) // 2 + 3]
    with http.stream("POST", "/", json=ask(tokens=40, stream=True, parameters={"stop": [stop]})) as reply:
        *_, end = events(reply)
    assert end["details"]["finish_reason"] == "stop_sequence"
    assert stop in end["generated_text"]
    assert whole.startswith(end["generated_text"])
    assert len(end["generated_text"]) < len(whole)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"inputs": [PROMPT, PROMPT], "stream": True}, "'stream' is for one input"),
        ({"inputs": PROMPT, "stream": True, "parameters": {"temperature": 0}}, "Parameter temperature is 0"),
        ({"inputs": PROMPT, "stream": True, "parameters": {"decoder_input_details": True}}, "must be false"),
    ],
    ids=["list", "parameter", "unsupported"],
)
def test_an_error_before_the_first_token_has_a_status(http: httpx.Client, body: Any, words: str) -> None:
    reply = http.post("/", json=body)
    assert (reply.status_code, reply.headers["content-type"]) == (422, "application/json")
    assert words in reply.json()["error"]


def test_an_error_after_the_first_token_is_an_event(generating: Web, http: httpx.Client) -> None:
    """The deadline passes after five tokens; on a machine that does not make as many by then, a longer one does."""
    for seconds in (1, 4, 16, 60):
        with (
            generating.hold(after=5),
            http.stream(
                "POST", "/", json=ask(tokens=LONG, stream=True), headers={"x-request-timeout-seconds": str(seconds)}
            ) as reply,
        ):
            told = list(events(reply)) if reply.status_code == 200 else []
        if len(told) > 2:
            break
    assert reply.status_code == 200
    assert len(told) > 2
    assert told[-1]["error_type"] == "timeout"
    assert generating.row(reply.headers["x-request-id"])["code"] == "timeout"


def test_who_leaves_in_mid_stream_frees_the_place(generating: Web, http: httpx.Client) -> None:
    with generating.hold(after=5):
        with http.stream("POST", "/", json=ask(tokens=LONG, stream=True)) as reply:
            next(events(reply))
            request_id = reply.headers["x-request-id"]
        row = generating.row(request_id)
    assert row["code"] == "cancelled"
    wait_until(lambda: figure(http.get("/metrics").text, "queue_depth") == 0, "nothing is in the queue")


def test_details_without_a_stream(http: httpx.Client) -> None:
    reply = http.post("/", json=ask(parameters={"details": True}))
    [answer] = reply.json()
    assert answer["generated_text"] == generated(http)
    assert answer["details"]["finish_reason"] == "length"
    assert answer["details"]["generated_tokens"] == len(answer["details"]["tokens"]) == 12
    assert float(reply.headers["x-inference-time"]) > 0


def test_the_front_page_shows_how_to_stream(generating: Web, http: httpx.Client) -> None:
    page = html.unescape(http.get("/").text)
    shown = re.search(r"curl -N .*?-d '(.*?)'", page, re.DOTALL)
    assert shown
    with http.stream("POST", "/", json=json.loads(shown[1]) | {"parameters": {"max_new_tokens": 3}}) as reply:
        assert len(list(events(reply))) == 3


# Hugging Face's own client


def test_the_stock_client_streams_texts(http: httpx.Client, stock: Any) -> None:
    told = list(stock.text_generation(PROMPT, stream=True, max_new_tokens=12, do_sample=False))
    assert len(told) == 12
    assert "".join(told) == generated(http, return_full_text=False)


def test_the_stock_client_streams_details(http: httpx.Client, stock: Any) -> None:
    *tokens, end = stock.text_generation(PROMPT, stream=True, details=True, max_new_tokens=12, do_sample=False)
    assert len(tokens) == 11
    assert all(output.details is None for output in tokens)
    assert end.generated_text == "".join(output.token.text for output in [*tokens, end])
    assert end.generated_text == generated(http, return_full_text=False)
    assert (end.details.finish_reason, end.details.generated_tokens) == ("length", 12)


def test_the_stock_client_without_a_stream(http: httpx.Client, stock: Any) -> None:
    given = {"max_new_tokens": 12, "do_sample": False, "return_full_text": False, "stop": ["\0never"]}
    assert stock.text_generation(PROMPT, **given) == generated(http, return_full_text=False)
    output = stock.text_generation(PROMPT, details=True, **given)
    assert output.generated_text == generated(http, return_full_text=False)
    assert len(output.details.tokens) == 12


def test_the_stock_client_hears_what_was_wrong(stock: Any) -> None:
    with pytest.raises(ValidationError, match="There is no parameter 'best_of' for text-generation"):
        list(stock.text_generation(PROMPT, stream=True, best_of=2))


async def test_the_stock_asynchronous_client(
    generating: Web, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    async with huggingface_hub.AsyncInferenceClient(base_url=generating.url) as stock:
        stream = await stock.text_generation(PROMPT, stream=True, max_new_tokens=12, do_sample=False)
        told = [text async for text in stream]
    assert "".join(told) == generated(http, return_full_text=False)


# WebSocket


async def test_frames_of_a_stream(http: httpx.Client, socket: Socket) -> None:
    await socket.infer("a", **ask(stream=True, parameters={"return_full_text": False}))
    accepted, started, *tokens, result = await socket.until("result", "error")
    assert (accepted["type"], started["type"]) == ("accepted", "started")
    assert {frame["type"] for frame in tokens} == {"token"}
    assert {frame["id"] for frame in tokens} == {"a"}
    assert [frame["index"] for frame in tokens] == list(range(12))
    text = "".join(frame["text"] for frame in tokens)
    assert (
        result["output"] == [{"generated_text": text}] == [{"generated_text": generated(http, return_full_text=False)}]
    )
    assert (result["finish_reason"], result["generated_tokens"]) == ("length", 12)
    assert result["prompt_tokens"] > 1
    assert 0 < result["first_token_ms"] < result["total_ms"]
    assert result["token_ms"] > 0


async def test_frames_tell_the_probabilities_that_http_tells(http: httpx.Client, socket: Socket) -> None:
    how = {"top_n_tokens": 2}
    await socket.infer("a", **ask(stream=True, parameters=how))
    _, _, *tokens, _ = await socket.until("result", "error")
    logprobs = [token["logprob"] for token in tokens_of(http, **how)]
    assert [frame["logprob"] for frame in tokens] == pytest.approx(logprobs, abs=1e-3)
    assert all(frame["top_tokens"][0]["logprob"] == pytest.approx(frame["logprob"], abs=1e-3) for frame in tokens)


async def test_streams_share_a_socket(http: httpx.Client, socket: Socket) -> None:
    prompts = [PROMPT, "a small boat", "the old river"]
    for prompt in prompts:
        await socket.infer(prompt, **ask(prompt, stream=True))
    told: dict[str, str] = dict.fromkeys(prompts, "")
    open_requests = set(prompts)
    results: dict[str, Frame] = {}
    while open_requests:
        frame = await socket.next()
        if frame["type"] == "token":
            told[frame["id"]] += frame["text"]
        elif frame["type"] in ("result", "error"):
            open_requests.remove(frame["id"])
            results[frame["id"]] = frame
    for prompt in prompts:
        expected = [{"generated_text": prompt + told[prompt]}]
        assert results[prompt]["output"] == expected == [{"generated_text": generated(http, prompt)}]


async def test_no_tokens_without_a_stream(http: httpx.Client, socket: Socket) -> None:
    await socket.infer("a", **ask())
    frames = await socket.until("result", "error")
    assert [frame["type"] for frame in frames] == ["accepted", "started", "result"]
    assert frames[-1]["output"] == [{"generated_text": generated(http)}]


async def test_a_stream_that_is_cancelled_ends_in_what_it_was_so_far(generating: Web, socket: Socket) -> None:
    with generating.hold(after=5):
        await socket.infer("a", **ask(tokens=LONG, stream=True))
        tokens = (await socket.until("token"))[-1:]
        await socket.send(type="cancel", id="a")
        *more, result = await socket.until("result", "error")
    tokens += more
    assert (result["type"], result["finish_reason"]) == ("result", "cancelled")
    assert result["generated_tokens"] == len(tokens) < LONG
    assert result["output"] == [{"generated_text": PROMPT + "".join(frame["text"] for frame in tokens)}]
    assert generating.row(result["request_id"])["code"] == "cancelled"


async def test_a_list_does_not_stream(socket: Socket) -> None:
    await socket.infer("a", **ask([PROMPT, PROMPT], stream=True))
    check_error((await socket.until("error", "result"))[-1], "validation", "'stream' is for one input", "a")


async def test_who_closes_the_socket_cancels_its_streams(generating: Web, http: httpx.Client) -> None:
    with generating.hold(after=5):
        async with open_socket(generating) as socket:
            await socket.infer("a", **ask(tokens=LONG, stream=True))
            accepted, *_ = await socket.until("token")
        await asyncio.to_thread(generating.row, accepted["request_id"])
    assert generating.row(accepted["request_id"])["code"] == "cancelled"


# Many, and slow ones


async def test_a_hundred_clients_that_leave_free_every_place(generating: Web, http: httpx.Client) -> None:
    async with AsyncExitStack() as sockets:
        opened = [await sockets.enter_async_context(open_socket(generating)) for _ in range(100)]
        for socket in opened:
            await socket.infer("a", **ask(tokens=400, stream=True, timeout_s=100))
        waiting = {asyncio.create_task(socket.until("token")) for socket in opened}
        begun: set[asyncio.Task[list[Frame]]] = set()
        while len(begun) < 8:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            begun |= done
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    left = ("pending_inputs", "queue_depth", "dispatched_jobs")
    wait_until(lambda: not any(figure(http.get("/metrics").text, name) for name in left), "all are gone")
    assert generated(http, return_full_text=False)


async def test_a_client_that_does_not_read_delays_no_other(generating: Web, http: httpx.Client) -> None:
    expected = generated(http)
    async with open_socket(generating) as slow, open_socket(generating) as other:
        slow.connection.transport.pause_reading()
        for client_id in "abc":
            await slow.infer(client_id, **ask(tokens=LONG, stream=True))
        for _ in range(5):
            await other.infer("a", **ask(stream=True))
            assert (await other.until("result", "error"))[-1]["output"] == [{"generated_text": expected}]
        slow.connection.transport.abort()


# A worker that is killed


async def test_streams_go_on_where_they_were_when_their_worker_is_killed(
    redis: Redis, generation: dict[str, str], generating_distributed: Web
) -> None:
    """It makes three tokens of each, and is killed before the fourth."""
    server, tokens, hold = generating_distributed, 100, processes.new_hold()
    plans: dict[str, dict[str, Any]] = {"greedy": GREEDY, "sampled": SAMPLED}
    expected: dict[str, Any] = {}
    with processes.worker(redis, generation | hold.env) as doomed, client(server) as http:
        for name, how in plans.items():
            expected[name] = generated(http, tokens=tokens, **how)
        wait_until(lambda: figure(http.get("/metrics").text, "workers_ready") == 2, "both are ready")
        async with open_socket(server) as one, open_socket(server) as other:
            with hold(after=3):
                for socket in (one, other):  # of four streams, each worker gets some
                    for name, how in plans.items():
                        await socket.infer(name, **ask(tokens=tokens, stream=True, parameters=how, timeout_s=100))
                await asyncio.to_thread(doomed.wait_for, lambda: hold.holds(doomed.pid), "it has made some tokens")
                doomed.kill()
            for socket in (one, other):
                await check_streams(socket, expected)
        assert re.search(r"is lost; [1-4] jobs are sent again", server.log())


async def check_streams(socket: Socket, expected: dict[str, Any]) -> None:
    """All of them to their end, each token once."""
    told: dict[str, list[Frame]] = {name: [] for name in expected}
    results: dict[str, Frame] = {}
    while len(results) < len(expected):
        frame = await socket.next()
        if frame["type"] == "token":
            told[frame["id"]].append(frame)
        elif frame["type"] not in ("accepted", "started"):
            assert frame["type"] == "result", frame
            results[frame["id"]] = frame
    for name, text in expected.items():
        indexes = [frame["index"] for frame in told[name]]
        assert indexes == list(range(results[name]["generated_tokens"]))
        assert results[name]["output"] == [{"generated_text": text}]
        assert text == PROMPT + "".join(frame["text"] for frame in told[name])
