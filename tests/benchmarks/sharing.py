"""``make bench BENCH="--only sharing"``: pipelines that share a host, and what an overload of one takes from another.

- *Two busy pipelines on one host*: an encoder (closed loop) and a generating model (streams, each begun anew when it
  has ended), each alone and both together. The sum of the parts that each keeps of its speed alone is the efficiency
  of sharing; half each would be fair.
- *Overload of one of two*: pipelines whose model takes a fixed time and no processor, one within its capacity, the
  other with far more clients than its queue takes; in one host, and in hosts of their own over Redis.
"""

import asyncio
import itertools
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from inference import conf
from tests import processes
from tests.benchmarks import models
from tests.benchmarks.texts import SHORT, corpus

MODEL = models.CACHE / "llama-6x512-random"
TOKENS = 64
PROMPT = "once upon a time there was a small boat on the old river, and number {} of them went on and on"
ENCODER_CLIENTS, STREAMS = 32, 8
WARM_UP_S, WINDOW_S = 3.0, 15.0
DELAY_S = 0.1
OVERLOAD_CLIENTS, OTHER_CLIENTS = 100, 8
SHORT_DEADLINE_S = 2
PAUSE_S = 0.1
"""Of a client that was refused."""


@dataclass
class Counted:
    """What the clients of one pipeline got in a window."""

    answers: int = 0
    tokens: int = 0
    refused: int = 0
    failed: int = 0
    first_ms: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Sharing:
    """Rates are per second, first tokens in milliseconds."""

    encoder_alone: float
    encoder_both: float
    tokens_alone: float
    tokens_both: float
    first_p99_alone: float
    first_p99_both: float

    def lines(self) -> Iterator[str]:
        encoder, tokens = self.encoder_both / self.encoder_alone, self.tokens_both / self.tokens_alone
        first = self.first_p99_both / self.first_p99_alone
        yield f"encoder, texts/s      {self.encoder_alone:8.1f} alone {self.encoder_both:8.1f} both  {encoder:.2f}"
        yield f"generating, tokens/s  {self.tokens_alone:8.1f} alone {self.tokens_both:8.1f} both  {tokens:.2f}"
        yield f"sum of both parts     {encoder + tokens:.2f}"
        yield f"first token p99, ms   {self.first_p99_alone:8.1f} alone {self.first_p99_both:8.1f} both  {first:.2f}"


@dataclass(frozen=True)
class Isolation:
    """Answers per second of a pipeline within its capacity, beside one that is overloaded."""

    hosts: str
    alone: float
    beside: float
    answered_of_overloaded: float
    refused_of_overloaded: float

    def lines(self) -> Iterator[str]:
        yield (
            f"{self.hosts:12} {self.alone:7.1f}/s alone {self.beside:7.1f}/s beside an overload  "
            f"{self.beside / self.alone:.3f}  (the other: {self.answered_of_overloaded:.0f}/s answered, "
            f"{self.refused_of_overloaded:.0f}/s refused)"
        )


def measured() -> dict[str, Any]:
    sharing = _sharing()
    isolation = [_isolation("one host", apart=False), _isolation("hosts apart", apart=True)]
    return {"sharing": asdict(sharing), "isolation": [asdict(found) for found in isolation], "lines": [
        *sharing.lines(), *(line for found in isolation for line in found.lines())
    ]}  # fmt: skip


def _sharing() -> Sharing:
    tables = {
        "encoder": {"task": "fill-mask", "model": conf.BUNDLED_MODEL},
        "writer": {"task": "text-generation", "model": str(models.made(MODEL, "llama"))},
    }
    texts = corpus("mixed")
    asking: list[Client] = [_asking("/pipelines/encoder", texts)] * ENCODER_CLIENTS
    streaming: list[Client] = [_stream_forever] * STREAMS
    with processes.web(
        env={"INFERENCE_PIPELINES": str(_catalog(tables))}, wait_for="/pipelines/writer/health/ready"
    ) as web:
        encoder, _ = asyncio.run(_window(web.port, asking, []))
        _, writer = asyncio.run(_window(web.port, [], streaming))
        both = asyncio.run(_window(web.port, asking, streaming))
        web.kill()
    return Sharing(
        encoder.answers / WINDOW_S,
        both[0].answers / WINDOW_S,
        writer.tokens / WINDOW_S,
        both[1].tokens / WINDOW_S,
        _p99(writer.first_ms),
        _p99(both[1].first_ms),
    )


def _isolation(hosts: str, *, apart: bool) -> Isolation:
    fake = {"task": "fill-mask", "model": "fake", "backend": "tests.fakes", "max_pending": 32}
    tables = {"other": fake, "flooded": fake}
    env = {
        "INFERENCE_PIPELINES": str(_catalog(tables)),
        "TESTS_DELAY_S": str(DELAY_S),
        "INFERENCE_MAX_BATCH_SIZE": "4",
        "INFERENCE_MAX_INPUTS": "16",
        "INFERENCE_DEADLINE_S": str(SHORT_DEADLINE_S),
    }
    other: list[Client] = [_asking("/pipelines/other", [SHORT])]
    flooded: list[Client] = [_asking("/pipelines/flooded", [SHORT])]
    with ExitStack() as stack:
        redis = stack.enter_context(processes.redis_server()) if apart else None
        for name in tables if redis else ():
            command = [*processes.WORKER, "--pipeline", name]
            stack.enter_context(processes.worker(redis, env, command=command))  # type: ignore[arg-type]
        web = stack.enter_context(processes.web(redis, env, wait_for="/pipelines/flooded/health/ready"))
        alone, _ = asyncio.run(_window(web.port, other * OTHER_CLIENTS, []))
        beside, rest = asyncio.run(_window(web.port, other * OTHER_CLIENTS, flooded * OVERLOAD_CLIENTS))
    return Isolation(
        hosts, alone.answers / WINDOW_S, beside.answers / WINDOW_S, rest.answers / WINDOW_S, rest.refused / WINDOW_S
    )


Client = Callable[[int, Callable[[], Counted], float], Any]


def _asking(path: str, texts: list[str]) -> Client:
    return lambda port, counted, until: _ask_forever(port, path, texts, counted, until)


async def _window(port: int, first: list[Client], second: list[Client]) -> tuple[Counted, Counted]:
    """What two groups of clients got between the warm-up and the end of the window."""
    began = time.monotonic()
    until = began + WARM_UP_S + WINDOW_S
    warm, counted = (Counted(), Counted()), (Counted(), Counted())

    def now(group: int) -> Counted:
        return (counted if time.monotonic() >= began + WARM_UP_S else warm)[group]

    groups = [(partial(now, group), client) for group, some in enumerate((first, second)) for client in some]
    await asyncio.gather(*(client(port, counter, until) for counter, client in groups))
    return counted


async def _ask_forever(port: int, path: str, texts: list[str], counted: Callable[[], Counted], until: float) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: text/plain\r\n"
    while time.monotonic() < until:
        content = random.choice(texts).encode()
        writer.write(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
        status = await _status(reader)
        found = counted()
        found.answers += status == 200
        found.refused += status == 503
        found.failed += status not in (200, 503)
        if status == 503:
            await asyncio.sleep(PAUSE_S)
    writer.close()


async def _status(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head.split(maxsplit=2)[1])


async def _stream_forever(port: int, counted: Callable[[], Counted], until: float) -> None:
    numbers = itertools.count()
    while time.monotonic() < until:
        parameters = {"max_new_tokens": TOKENS, "do_sample": False}
        body = {"inputs": PROMPT.format(next(numbers)), "parameters": parameters, "stream": True}
        content = json.dumps(body).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /pipelines/writer HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        began = time.monotonic()
        writer.write(f"{head}connection: close\r\ncontent-length: {len(content)}\r\n\r\n".encode() + content)
        first = True
        async for line in reader:
            if line.startswith(b"data:"):
                found = counted()
                found.tokens += 1
                if first:
                    found.first_ms.append(1000 * (time.monotonic() - began))
                    first = False
        writer.close()


def _catalog(tables: dict[str, dict[str, Any]]) -> Path:
    path = processes.scratch() / f"{'-'.join(tables)}.toml"
    lines = [
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        for name, table in tables.items()
    ]
    path.write_text("\n".join(lines))
    return path


def _p99(values: list[float]) -> float:
    return sorted(values)[int(0.99 * len(values))] if values else 0.0
