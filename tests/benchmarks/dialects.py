"""``python -m tests.benchmarks.dialects [FOLDER]``: what a dialect costs, against our own frames and ``POST /``.

Streams: 16 clients read generated texts, in rounds in which each dialect has its turn; the figure is tokens a second.
Embeddings: 32 clients send texts, by turns as ``POST /`` and to ``/v1/embeddings`` and ``/embed``; requests a second.

Args:
    FOLDER: a model of text-generation with a chat template; by default one of random weights.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from websockets.asyncio.client import connect

from tests import processes, tiny_models
from tests.benchmarks.report import say
from tests.benchmarks.texts import mixed

STREAMING, EMBEDDING = 16, 32
ROUNDS, TEXTS, TOKENS, EMBEDDED = 5, 2, 60, 12
PROMPT = "Once upon a time there was"
CHAT = [{"role": "user", "content": PROMPT}]

Stream = Callable[[httpx.AsyncClient, str], Awaitable[int]]
"""Reads one text to its end; returns how many tokens came."""


async def frames(_: httpx.AsyncClient, url: str) -> int:
    async with connect(f"ws{url.removeprefix('http')}/ws/", proxy=None) as socket:
        asked = {"type": "infer", "id": "1", "inputs": PROMPT, "stream": True, "parameters": parameters()}
        await socket.send(json.dumps(asked))
        async for frame in socket:
            told: dict[str, Any] = json.loads(frame)
            if told["type"] == "result":
                return int(told["generated_tokens"])
            assert told["type"] != "error", told
    raise AssertionError("the socket was closed")


def events(path: str, body: dict[str, Any], is_token: Callable[[str], bool]) -> Stream:
    async def read(client: httpx.AsyncClient, url: str) -> int:
        async with client.stream("POST", url + path, json=body) as reply:
            assert reply.status_code == 200, await reply.aread()
            return sum([line.startswith("data:") and is_token(line) async for line in reply.aiter_lines()])

    return read


def parameters() -> dict[str, Any]:
    return {"max_new_tokens": TOKENS, "min_new_tokens": TOKENS, "do_sample": False}


OPENAI = {"max_tokens": TOKENS, "min_new_tokens": TOKENS, "temperature": 0, "stream": True}
STREAMS: dict[str, Stream] = {
    "frames of /ws/": frames,
    "POST /, events": events(
        "/", {"inputs": PROMPT, "parameters": parameters(), "stream": True}, lambda line: '"token":' in line
    ),
    "/v1/chat/completions": events(
        "/v1/chat/completions", {"messages": CHAT} | OPENAI, lambda line: '"finish_reason":null' in line
    ),
    "/v1/completions": events(
        "/v1/completions", {"prompt": PROMPT} | OPENAI, lambda line: '"finish_reason":null' in line
    ),
    "/v1/responses": events(
        "/v1/responses",
        {"input": PROMPT, "max_output_tokens": TOKENS, "min_new_tokens": TOKENS, "temperature": 0, "stream": True},
        lambda line: '"response.output_text.delta"' in line,
    ),
    "/v2/…/generate_stream": events(
        "/v2/models/default/generate_stream",
        {"text_input": PROMPT, "parameters": parameters()},
        lambda line: True,
    ),
}


async def stream_s(url: str, read: Stream) -> float:
    """Seconds of one turn."""
    async with httpx.AsyncClient(trust_env=False, timeout=300) as client:

        async def several() -> None:
            for _ in range(TEXTS):
                assert await read(client, url) > 0

        began = time.perf_counter()
        await asyncio.gather(*(several() for _ in range(STREAMING)))
        return time.perf_counter() - began


async def embed_s(url: str, path: str, bodies: list[dict[str, Any]]) -> float:
    async with httpx.AsyncClient(trust_env=False, timeout=300) as client:
        waiting = iter(bodies)

        async def several() -> None:
            for body in waiting:
                reply = await client.post(url + path, json=body)
                assert reply.status_code == 200, reply.text

        began = time.perf_counter()
        await asyncio.gather(*(several() for _ in range(EMBEDDING)))
        return time.perf_counter() - began


async def compare(what: str, amount: int, turns: Mapping[str, Callable[[], Awaitable[float]]]) -> None:
    """Rounds in which each has its turn, in another order each time; the first one is the measure."""
    taken: dict[str, list[float]] = {name: [] for name in turns}
    order = list(turns)
    for round_ in range(ROUNDS + 1):
        random.Random(round_).shuffle(order)
        for name in order:
            seconds = await turns[name]()
            if round_:  # the first one warms up
                taken[name].append(seconds)
    first = median(next(iter(taken.values())))
    for name, seconds_each in taken.items():
        middle = median(seconds_each)
        say(f"{name:24} {amount / middle:8.0f} {what}/s  {first / middle:5.2f}  ({min(seconds_each):.2f} s at best)")


def random_chat(folder: Path) -> Path:
    """It goes on for as long as it may."""
    template = tiny_models.CHAT_TEMPLATE
    return tiny_models.gpt2(folder, "GPT2LMHeadModel", n_positions=1024, eos_token_id=None, chat_template=template)


def main(model: str | None) -> None:
    folder = processes.scratch()
    chat = model or str(random_chat(folder / "chat"))
    env = {"INFERENCE_MODEL": chat, "INFERENCE_TASK": "text-generation", "INFERENCE_LOG_INPUTS": "none"}
    with processes.web(env=env) as server:
        turns = {name: partial(stream_s, server.url, read) for name, read in STREAMS.items()}
        asyncio.run(compare("tokens", STREAMING * TEXTS * TOKENS, turns))
    from tests.benchmarks.task_models import MINI  # noqa: PLC0415 - it imports torch

    vectors = tiny_models.bert(folder / "vectors", "BertModel", **MINI | {"max_position_embeddings": 256})
    env = {"INFERENCE_MODEL": str(vectors), "INFERENCE_TASK": "feature-extraction", "INFERENCE_LOG_INPUTS": "none"}
    short = [text for text in mixed() if len(text) < 60]
    texts = (short * EMBEDDING * EMBEDDED)[: EMBEDDING * EMBEDDED]
    ways: dict[str, tuple[str, list[dict[str, Any]]]] = {
        "POST /": ("/", [{"inputs": text, "parameters": {"normalize": True}} for text in texts]),
        "/v1/embeddings, base64": ("/v1/embeddings", [{"input": t, "encoding_format": "base64"} for t in texts]),
        "/v1/embeddings, float": ("/v1/embeddings", [{"input": text} for text in texts]),
        "/embed": ("/embed", [{"inputs": text} for text in texts]),
    }
    with processes.web(env=env) as server:
        turns = {name: partial(embed_s, server.url, *way) for name, way in ways.items()}
        asyncio.run(compare("requests", len(texts), turns))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
