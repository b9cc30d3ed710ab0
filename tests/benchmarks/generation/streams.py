"""A plain client of server-sent events: the server has the rest of the machine."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

LIMIT = 2**20
"""Bytes of a line: the last event of llama.cpp repeats the prompt."""


@dataclass
class Stream:
    """What came of a text so far."""

    asked: float
    times: list[float] = field(default_factory=list)
    """Of events with text."""
    text: str = ""

    @property
    def first_s(self) -> float:
        return self.times[0] - self.asked

    def gaps(self, begin: float = 0.0, end: float = float("inf")) -> list[float]:
        """Seconds between tokens, those that were still open at ``begin`` and at ``end`` included."""
        pairs = zip(self.times, self.times[1:], strict=False)
        return [later - earlier for earlier, later in pairs if later >= begin and earlier <= end]


@dataclass(frozen=True)
class Endpoint:
    """Where and how a server is asked for a stream."""

    port: int
    path: str
    body: Callable[[str, int], dict[str, Any]]
    """Of a prompt and a number of tokens: greedy, streamed, and not ended early."""
    text: Callable[[dict[str, Any]], str]
    """Of an event."""

    async def read(self, stream: Stream, prompt: str, tokens: int) -> None:
        """To its end; cancelled, it closes the connection.

        Raises:
            AssertionError: the server answers with an error, or with less.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=LIMIT)
        try:
            content = json.dumps(self.body(prompt, tokens)).encode()
            head = f"POST {self.path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\ncontent-type: application/json\r\n"
            writer.write(f"{head}connection: close\r\ncontent-length: {len(content)}\r\n\r\n".encode() + content)
            async for line in reader:
                if b'"error":' in line:
                    raise AssertionError(line.decode())
                if line.startswith(b"data:") and b"[DONE]" not in line:
                    self._take(stream, json.loads(line.removeprefix(b"data:")))
        finally:
            writer.close()
        assert len(stream.times) >= tokens / 2, f"{len(stream.times)} events of {tokens}"

    def _take(self, stream: Stream, event: dict[str, Any]) -> None:
        if text := self.text(event):
            stream.times.append(time.perf_counter())
            stream.text += text

    async def read_all(self, prompts: Sequence[str], tokens: int) -> list[Stream]:
        """All begin at once."""
        streams = [Stream(time.perf_counter()) for _ in prompts]
        await asyncio.gather(*(self.read(s, text, tokens) for s, text in zip(streams, prompts, strict=True)))
        return streams

    async def read_beside(self, prompt: str, others: Sequence[str], tokens: int, before: int) -> tuple[float, float]:
        """A prompt comes while other texts are written, and each of them has ``before`` tokens.

        Returns the longest gap of those, and their median gap before that, in seconds.
        """
        running = [Stream(time.perf_counter()) for _ in others]
        tasks = [asyncio.ensure_future(self.read(s, o, tokens)) for s, o in zip(running, others, strict=True)]
        await self._until(tasks, lambda: all(len(s.times) >= before for s in running))
        newcomer = Stream(time.perf_counter())
        await self.read(newcomer, prompt, 1)
        (end,) = newcomer.times[:1]
        await self._until(tasks, lambda: all(s.times[-1] > end for s in running))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        usual = median(gap for s in running for gap in s.gaps(end=newcomer.asked))
        return max(gap for s in running for gap in s.gaps(newcomer.asked, end)), usual

    async def _until(self, tasks: Sequence[asyncio.Future[None]], condition: Callable[[], bool]) -> None:
        while not condition():
            ended = [task for task in tasks if task.done()]
            assert not ended, f"a text ended early: {[task.exception() for task in ended]}"
            await asyncio.sleep(0.002)
