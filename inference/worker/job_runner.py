"""What a worker does with jobs, whichever way it runs them: hold, tokenise, run, close each exactly once."""

import asyncio
import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from inference.backends.base import FAILED, Pipeline, Prepared, Stoppable, check_number
from inference.errors import InferenceError, InferenceFailed
from inference.messaging.messages import Closing, Error, Event, Job, Returned, Totals
from inference.observability import tracing
from inference.tasks.base import TASKS
from inference.worker.batching.cost_model import CostEstimate
from inference.worker.executors import ThreadExecutor

logger = logging.getLogger(__name__)

TOKENIZE_JOBS, TOKENIZE_CHARS = 32, 65_536
"""In one call of the tokenizer: if it hangs, all of them are suspects. A larger input is a call of its own."""
TOKENIZE_MEMORY = 0.9
"""Weight of what is known about the tokenizer's speed when a call comes back."""
WORK_MS = 1000.0
"""Work that a worker wants beforehand: more would only wait where it cannot be cancelled or sent elsewhere."""
EVERY = 1 << 31
GO_TIMEOUT_S = 1.0
"""How long an ``alone`` job waits for the web's ``Go`` before it is given back."""

Key = tuple[str, int]
"""Reply channel and job id: what a job is called in the whole system."""


@dataclass(eq=False)
class Item:
    """A job at its worker. Moments are of the event loop's clock."""

    key: Key
    job: Job
    received_at: float
    batch_key: Hashable = ()
    alone: bool = False
    cancelled: bool = False
    go: asyncio.Event = field(default_factory=asyncio.Event)
    prepared: Prepared | None = None
    tokens: int = 1
    longest: int = 1
    sequences: int = 1

    @cached_property
    def chars(self) -> int:
        """Of text in its input."""
        return _chars(self.job.input)

    @property
    def expires_at(self) -> float:
        return self.received_at + self.job.time_left_s

    def take(self, prepared: Prepared) -> None:
        self.prepared = prepared
        self.tokens, self.longest, self.sequences = prepared.tokens, prepared.longest, prepared.sequences


class JobRunner:
    """Jobs at a worker, from receipt to their closing entry; a subclass says how those that wait are run.

    ``on_event`` hears what a running job has to say, ``on_close`` gets each job's closing entry; neither may raise
    or block.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        tokenizer_thread: ThreadExecutor,
        on_event: Callable[[Item, Event], None],
        on_close: Callable[[Item, Closing], None],
    ) -> None:
        self.cost = CostEstimate(pipeline.warm_up_costs)
        self.totals = Totals()
        self._description = pipeline.description
        self._pipeline: Pipeline = pipeline
        self._tokenizer_thread = tokenizer_thread
        self._on_event = on_event
        self._on_close = on_close
        self._task = TASKS[pipeline.description.task]
        self._arrived: dict[Key, Item] = {}
        self._in_tokenizer: dict[Key, Item] = {}
        self._waiting: dict[Key, Item] = {}
        self._running: dict[Key, Item] = {}
        self._has_arrived = asyncio.Event()
        self._changed = asyncio.Event()
        self._tokenizing = asyncio.Lock()
        self._tokenizer_ms_per_char: float | None = None
        self._draining = False
        self._clock = asyncio.get_running_loop().time

    @property
    def credit(self) -> int:
        """Jobs that it wants to hold: a second of work, and never below two, so that the model has no gaps."""
        return max(2, int(WORK_MS / self.cost.job_ms)) if self.cost.job_ms else EVERY

    @property
    def depth(self) -> int:
        """Jobs that wait here, not counting those in the model."""
        return len(self._arrived) + len(self._in_tokenizer) + len(self._waiting)

    def add(self, item: Item) -> None:
        item.batch_key = self._task.batch_key(item.job.parameters)
        item.alone = item.alone or item.job.alone
        if item.alone:  # its tokenisation is as suspect as the rest: when its turn comes
            self._waiting[item.key] = item
            self._changed.set()
        else:
            self._arrived[item.key] = item
            self._has_arrived.set()

    def set_alone(self, key: Key) -> None:
        if item := self._arrived.pop(key, None):
            item.alone = True
            self.add(item)
        elif item := self._in_tokenizer.get(key) or self._waiting.get(key):
            item.alone = True

    def go(self, key: Key) -> None:
        if item := self._running.get(key):
            item.go.set()

    def cancel(self, key: Key) -> None:
        """A waiting job is given back now, a running one when its run ends; an unknown one is none of ours."""
        for items in (self._arrived, self._in_tokenizer, self._waiting):
            if item := items.pop(key, None):
                self._on_close(item, Returned(item.job.id, "cancelled"))
                self._changed.set()
                return
        if item := self._running.get(key):
            item.cancelled = True
            item.go.set()  # one that waits for it must not keep the model idle
            prepared: object = item.prepared
            if isinstance(prepared, Stoppable):
                prepared.stop()

    def return_waiting(self, reason: Literal["draining"]) -> None:
        """Give back what has not started; what is in the tokenizer follows, unless it hangs there."""
        self._draining = True
        for items in (self._arrived, self._waiting):
            returned = list(items.values())
            items.clear()
            for item in returned:
                self._on_close(item, Returned(item.job.id, reason))

    async def run(self) -> None:
        """Tokenise and run until cancelled. Neither goes on without the other: jobs would wait for ever."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._tokenize_forever())
            await self._run_forever()

    async def _run_forever(self) -> None:
        """Run what waits; ``_changed`` is set when there is more of it, or less."""
        raise NotImplementedError

    async def _run_and_close(self, items: list[Item]) -> None:
        """Run these to their end, and nothing else meanwhile."""
        raise NotImplementedError

    async def _tokenize_forever(self) -> None:
        while True:
            await self._has_arrived.wait()
            self._has_arrived.clear()
            while self._arrived:
                async with self._tokenizing:
                    items = self._take_arrived()  # not before: what is suspected meanwhile is not among them
                    outcomes = await self._prepared(items) if items else []
                for item, outcome in zip(items, outcomes, strict=True):
                    if self._in_tokenizer.pop(item.key, None):  # not cancelled meanwhile
                        self._leave_tokenizer(item, outcome)
                self._changed.set()

    def _take_arrived(self) -> list[Item]:
        """The oldest, as many as one call of the tokenizer may have."""
        taken: list[Item] = []
        chars = 0
        for item in self._arrived.values():
            chars += item.chars
            if taken and (len(taken) == TOKENIZE_JOBS or chars > TOKENIZE_CHARS):
                break
            taken.append(item)
        for item in taken:
            self._in_tokenizer[item.key] = self._arrived.pop(item.key)
        return taken

    def _leave_tokenizer(self, item: Item, outcome: "Prepared | InferenceError") -> None:
        if isinstance(outcome, InferenceError):
            self._on_close(item, Error(item.job.id, outcome.code, outcome.message))
        elif self._draining:
            self._on_close(item, Returned(item.job.id, "draining"))
        else:
            item.take(outcome)
            self._waiting[item.key] = item

    async def _run_alone(self, item: Item) -> None:
        """Ask for ``go``; then nothing else is in the model or the tokenizer."""
        try:
            async with asyncio.timeout(GO_TIMEOUT_S):
                await item.go.wait()
        except TimeoutError:
            self._close(item, Returned(item.job.id, "no_go"))
            return
        if item.cancelled:
            self._close(item, Returned(item.job.id, "cancelled"))
            return
        async with self._tokenizing:
            [outcome] = await self._prepared([item])
            if isinstance(outcome, InferenceError):
                self._close(item, Error(item.job.id, outcome.code, outcome.message))
                return
            item.take(outcome)
            await self._run_and_close([item])

    async def _prepared(self, items: Sequence[Item]) -> Sequence[Prepared | InferenceError]:
        """Tokenise; where that fails for all, each by itself."""
        try:
            return await self._tokenized(items)
        except Exception:
            if len(items) == 1:
                job = items[0].job
                logger.exception(
                    "Request %s failed in the tokenizer",
                    job.request_id,
                    extra=tracing.fields(job.request_id, job.traceparent),
                )
                return [InferenceFailed(FAILED)]
            return [(await self._prepared([item]))[0] for item in items]

    async def _tokenized(self, items: Sequence[Item]) -> Sequence[Prepared | InferenceError]:
        """One call of the tokenizer. Raises whatever it raises."""
        jobs, chars = [item.job for item in items], max(1, sum(item.chars for item in items))
        known, began = self._tokenizer_ms_per_char, self._clock()
        predicted_ms = None if known is None else known * chars
        outcomes = await self._tokenizer_thread.run(lambda: self._pipeline.prepare(jobs), predicted_ms)
        check_number(outcomes, jobs)
        took = (self._clock() - began) * 1000 / chars
        self._tokenizer_ms_per_char = took if known is None else known + (1 - TOKENIZE_MEMORY) * (took - known)
        return outcomes

    def _close(self, item: Item, closing: Closing) -> None:
        del self._running[item.key]
        self._on_close(item, closing)


def _chars(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_chars, value.values()))
    return sum(map(_chars, value)) if isinstance(value, list) else 0
