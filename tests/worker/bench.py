"""A batcher under test: a pipeline that is controlled, with real threads or in virtual time."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from inference.backends.base import Outcome
from inference.errors import EmptyInput, InferenceFailed, Invalid
from inference.messaging.messages import Closing, Description, Event, Job, Result
from inference.worker.batching.batcher import Batcher
from inference.worker.batching.policy import BatchLimits
from inference.worker.executors import Executors, ThreadExecutor
from inference.worker.item import Item
from inference.worker.turns import Share, Turns
from tests.virtual_time import START_S

PATIENCE_S = 20
"""Far longer than anything here takes."""
BATCH_S = 0.5
"""How long a batch takes in virtual time."""
TOKENIZE_S = 0.125
"""How long tokenising takes in virtual time, where it takes any."""
DEAR_BATCHES = ((1, 1, 500.0), (1, 32, 500.0)) * 250
"""Costs at warm-up by which whatever waits runs together, also after some batches that took next to nothing."""
CHANNEL = "inference.web.a"

steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""


RAISES: dict[str, type[BaseException]] = {
    "poison": ValueError,
    "memory": MemoryError,
    "stop": StopIteration,
    "exit": SystemExit,
    "timeout": TimeoutError,
}
REFUSES = {
    "long": Invalid("The input is too long."),
    "blank": EmptyInput("The input is empty."),
    "hopeless": InferenceFailed("It failed."),
}
MISCOUNTS: dict[str, Callable[[list[Any]], Any]] = {
    "fewer": lambda outcomes: outcomes[:-1],
    "more": lambda outcomes: [*outcomes, b'"of nobody"'],
    "none": lambda outcomes: None,
}
CULPRITS = (*RAISES, *MISCOUNTS)
IN_TOKENIZER = "token-"
"""Before the name of a fault: it shows when the input is tokenised."""
IDS = st.integers(0, 20)
FAULTS = sorted({*REFUSES, *CULPRITS} - {"exit"})
"""Without a thread, ``SystemExit`` would end the tests."""


def describe(task: str) -> Description:
    return Description(
        task=task,
        model="controlled",
        revision="",
        device="cpu",
        dtype="float32",
        threads=1,
        vocabulary=100,
        mask_token="",
        longest_input=512,
        longest_input_chars=10_000,
    )


def answer_to(text: str) -> bytes:
    return b'"%s"' % text.upper().encode()


@dataclass(frozen=True)
class Tokens:
    text: str
    longest: int
    sequences: int = 1

    @property
    def tokens(self) -> int:
        return self.longest * self.sequences


class ControlledPipeline:
    """Answers each input with itself in capitals; an input that begins with the name of a fault shows that fault.

    An input has one token, and one more for each dot.
    """

    shares_calls = True
    pads = True
    concurrent_batches = 1

    def __init__(
        self,
        task: str = "fill-mask",
        warm_up_costs: Sequence[tuple[int, int, float]] = (),
        heard: asyncio.Event | None = None,
    ) -> None:
        self.description = describe(task)
        self.warm_up_costs = warm_up_costs
        self.tokenized: list[list[str]] = []
        self.batches: list[list[str]] = []
        self.threads: dict[str, set[str]] = {"prepare": set(), "run": set()}
        self.gate, self.tokenizer_gate = threading.Event(), threading.Event()
        """While one is clear, what the model, or the tokenizer, works on does not end."""
        self.gate.set()
        self.tokenizer_gate.set()
        self._heard = heard or asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def prepare(self, jobs: Sequence[Job]) -> list[Any]:
        texts = [job.input for job in jobs]
        self._enter("prepare", self.tokenized, texts, self.tokenizer_gate)
        faults = [text.split()[0].removeprefix(IN_TOKENIZER) if text.startswith(IN_TOKENIZER) else "" for text in texts]
        return show(faults, [Tokens(text, 1 + text.count(".")) for text in texts])

    def run(self, batch: Sequence[Tokens]) -> list[Outcome]:
        texts = [prepared.text for prepared in batch]
        self._enter("run", self.batches, texts, self.gate)
        return show([text.split()[0] for text in texts], [answer_to(text) for text in texts])

    def use_threads(self, threads: int) -> None:
        pass

    def close(self) -> None:
        pass

    def _enter(self, method: str, seen: list[list[str]], texts: list[str], gate: threading.Event) -> None:
        self.threads[method].add(threading.current_thread().name)
        seen.append(texts)
        self._loop.call_soon_threadsafe(self._heard.set)
        assert gate.wait(PATIENCE_S)


def show(faults: list[str], good: Sequence[Any]) -> list[Any]:
    """What comes of these faults, and of the inputs without one."""
    for fault in faults:
        if fault in RAISES:
            raise RAISES[fault](fault)
    outcomes: Any = [REFUSES.get(fault) or outcome for fault, outcome in zip(faults, good, strict=True)]
    for fault in faults:
        if fault in MISCOUNTS:
            return MISCOUNTS[fault](outcomes)  # type: ignore[no-any-return]
    return outcomes  # type: ignore[no-any-return]


class VirtualThread(ThreadExecutor):
    """A call takes a while of virtual time; there is no thread."""

    def __init__(self, call_s: float = BATCH_S, spans: list[tuple[float, float]] | None = None) -> None:
        self._call_s = call_s
        self.spans: list[tuple[float, float]] = [] if spans is None else spans
        """From when to when each call took; threads may share the list."""

    async def run(self, call: Callable[[], Any], predicted_ms: float | None = None, *, watched: bool = True) -> Any:
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(self._call_s)
        self.spans.append((began, asyncio.get_running_loop().time()))
        return call()

    def close(self, last: Callable[[], object] | None = None) -> None:
        if last is not None:
            last()

    def join(self) -> None:
        pass


class Bench:
    """A batcher that runs, the pipeline under it, and everything that it said."""

    def __init__(
        self,
        executors: Executors,
        limits: BatchLimits,
        task: str = "fill-mask",
        warm_up_costs: Sequence[tuple[int, int, float]] = (),
        share: Share | None = None,
    ) -> None:
        self._heard = asyncio.Event()
        self.pipeline = ControlledPipeline(task, warm_up_costs, self._heard)
        self.pipeline.concurrent_batches = executors.side_by_side
        self.batcher = Batcher(self.pipeline, share or Turns(executors).join(), limits, self)
        self.closings: dict[int, Closing] = {}
        self.closed_at_s: dict[int, float] = {}
        """Seconds from the start of the clock of virtual time."""
        self.events: list[Event] = []
        self.gives_go = False
        """Whoever starts is given go at once."""
        self._count = 0

    def add(self, *texts: str, time_left_s: float = 60.0, **fields: Any) -> list[int]:
        """The ids of the new jobs."""
        ids = range(self._count, self._count + len(texts))
        self._count += len(texts)
        now = asyncio.get_running_loop().time()
        for job_id, text in zip(ids, texts, strict=True):
            known: dict[str, Any] = {"request_id": f"r{job_id}", "parameters": {}, "time_left_s": time_left_s}
            self.batcher.add(Item((CHANNEL, job_id), Job(id=job_id, input=text, **(known | fields)), now))
        return list(ids)

    async def closing(self, job_id: int) -> Closing:
        await self.until(lambda: job_id in self.closings)
        return self.closings[job_id]

    async def all_closed(self) -> list[Closing]:
        await self.until(lambda: len(self.closings) == self._count)
        return [self.closings[job_id] for job_id in range(self._count)]

    async def outputs(self) -> list[bytes | None]:
        """Of every job; ``None`` for those without a result."""
        return [closing.output if isinstance(closing, Result) else None for closing in await self.all_closed()]

    async def started(self) -> None:
        """The first batch is in the model."""
        await self.until(lambda: bool(self.pipeline.batches))

    async def first_event(self) -> Event:
        await self.until(lambda: bool(self.events))
        return self.events[0]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._heard.clear()
                await self._heard.wait()

    def event(self, item: Item, event: Event) -> None:
        assert item.job.id == event.id
        self.events.append(event)
        if self.gives_go:
            self.batcher.go(item.key)
        self._heard.set()

    def close(self, item: Item, closing: Closing) -> None:
        assert item.job.id == closing.id
        assert closing.id not in self.closings, "a job is closed once"
        self.closings[closing.id] = closing
        self.closed_at_s[closing.id] = asyncio.get_running_loop().time() - START_S
        self._heard.set()

    async def taken(self, item: Item) -> None:
        assert item.job.id in self.closings


@asynccontextmanager
async def bench(size: int = 8, *, task: str = "fill-mask") -> AsyncIterator[Bench]:
    """With real threads."""
    tokenizer, thread = ThreadExecutor("tokenizer-test"), ThreadExecutor("model-test")
    opened = Bench(Executors(tokenizer, thread), BatchLimits(max_batch_size=size), task, DEAR_BATCHES)
    async with running(opened):
        yield opened
    tokenizer.close()
    thread.close()


@asynccontextmanager
async def virtual(size: int = 8, window_s: float = 0.0, tokenize_s: float = 0.0) -> AsyncIterator[Bench]:
    """With neither threads nor waiting."""
    limits = BatchLimits(max_batch_size=size, batch_window_s=window_s)
    opened = Bench(Executors(VirtualThread(tokenize_s), VirtualThread()), limits)
    async with running(opened):
        yield opened


@asynccontextmanager
async def running(opened: Bench) -> AsyncIterator[None]:
    task = asyncio.create_task(opened.batcher.run())
    try:
        yield
        assert not task.done(), "nothing ends the loop"
    finally:
        opened.pipeline.gate.set()
        opened.pipeline.tokenizer_gate.set()
        task.cancel()
        await asyncio.wait([task])
