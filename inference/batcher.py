"""The loop around the batch policy: waiting jobs in, exactly one closing entry per job out."""

import asyncio
import logging
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from inference.batch_policy import Limits, choose, padded_tokens
from inference.cost_model import CostEstimate
from inference.errors import InferenceError, InferenceFailed
from inference.messages import Closing, Description, Error, Job, Result, Returned, Started, Totals
from inference.model_thread import ModelThread
from inference.tasks import TASKS

logger = logging.getLogger(__name__)

GO_TIMEOUT_S = 1.0
"""How long an ``alone`` job waits for the web's ``Go`` before it is given back."""

FAILED = "The model failed on this input; the server's log has the details under this request's id."

Outcome = bytes | InferenceError
Key = tuple[str, int]
"""Reply channel and job id: what a job is called in the whole system."""


class Prepared(Protocol):
    """A tokenised job. Its sizes are what the batch policy decides by; see ``batch_policy.Candidate``."""

    @property
    def tokens(self) -> int: ...
    @property
    def longest(self) -> int: ...
    @property
    def sequences(self) -> int: ...


class LoadedPipeline(Protocol):
    """A pipeline that is loaded and warm. Each method has a thread of its own, one call at a time."""

    description: Description
    warm_up_costs: Sequence[tuple[int, int, float]]
    """Jobs, padded tokens and milliseconds of the batches that were run at warm-up."""

    def prepare(self, jobs: Sequence[Job]) -> Sequence[Prepared | InferenceError]:
        """Tokenise: one outcome per job, in order. Called for the next batch while ``run`` works on this one."""
        ...

    def run(self, batch: Sequence[Any]) -> list[Outcome]:
        """One outcome per prepared job, in order: JSON, or what was wrong with it. Raises if the batch failed."""
        ...


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

    @property
    def expires_at(self) -> float:
        return self.received_at + self.job.time_left_s

    def take(self, prepared: Prepared) -> None:
        self.prepared = prepared
        self.tokens, self.longest, self.sequences = prepared.tokens, prepared.longest, prepared.sequences


class Batcher:
    """Two loops: one tokenises what comes in, the other runs batches of what is tokenised.

    ``on_event`` hears that jobs start, ``on_close`` gets each job's closing entry; neither may raise or block.
    """

    def __init__(  # noqa: PLR0913
        self,
        pipeline: LoadedPipeline,
        tokenizer_thread: ModelThread,
        model_thread: ModelThread,
        limits: Limits,
        on_event: Callable[[Item, Started], None],
        on_close: Callable[[Item, Closing], None],
    ) -> None:
        self.cost = CostEstimate(pipeline.warm_up_costs)
        self.totals = Totals()
        self._pipeline = pipeline
        self._tokenizer_thread = tokenizer_thread
        self._model_thread = model_thread
        self._limits = limits
        self._on_event = on_event
        self._on_close = on_close
        self._task = TASKS[pipeline.description.task]
        self._arrived: dict[Key, Item] = {}
        self._waiting: dict[Key, Item] = {}
        self._running: dict[Key, Item] = {}
        self._has_arrived = asyncio.Event()
        self._changed = asyncio.Event()
        self._tokenizing = asyncio.Lock()
        self._clock = asyncio.get_running_loop().time

    @property
    def depth(self) -> int:
        """Jobs that wait here, not counting those in the model."""
        return len(self._arrived) + len(self._waiting)

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
        elif item := self._waiting.get(key):
            item.alone = True

    def go(self, key: Key) -> None:
        if item := self._running.get(key):
            item.go.set()

    def cancel(self, key: Key) -> None:
        """A waiting job is given back now, a running one when its batch ends; an unknown one is none of ours."""
        if item := self._arrived.pop(key, None) or self._waiting.pop(key, None):
            self._on_close(item, Returned(item.job.id, "cancelled"))
            self._changed.set()
        elif item := self._running.get(key):
            item.cancelled = True
            item.go.set()  # one that waits for it must not keep the model idle

    def return_waiting(self, reason: Literal["draining"]) -> None:
        """Give back what has not started."""
        for items in (self._arrived, self._waiting):
            returned = list(items.values())
            items.clear()
            for item in returned:
                self._on_close(item, Returned(item.job.id, reason))

    async def run(self) -> None:
        """Tokenise and run batches until cancelled. Neither goes on without the other: jobs would wait for ever."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._tokenize_forever())
            await self._batch_forever()

    async def _tokenize_forever(self) -> None:
        while True:
            await self._has_arrived.wait()
            self._has_arrived.clear()
            while self._arrived:
                async with self._tokenizing:
                    items = list(self._arrived.values())  # not before: what is suspected meanwhile is not among them
                    outcomes = await self._prepared(items) if items else []
                for item, outcome in zip(items, outcomes, strict=True):
                    if self._arrived.pop(item.key, None) is None:
                        continue  # cancelled, returned or suspected meanwhile
                    if isinstance(outcome, InferenceError):
                        self._on_close(item, Error(item.job.id, outcome.code, outcome.message))
                    else:
                        item.take(outcome)
                        self._waiting[item.key] = item
                self._changed.set()

    async def _batch_forever(self) -> None:
        while True:
            self._changed.clear()
            choice = choose(tuple(self._waiting.values()), self._limits, self.cost.model, self._clock())
            for item in choice.expired:
                del self._waiting[item.key]
                self._on_close(item, Returned(item.job.id, "expired"))
            if choice.batch:
                await self._run_batch(choice.batch)
                continue
            try:
                async with asyncio.timeout_at(choice.look_again_at):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _run_batch(self, batch: list[Item]) -> None:
        for item in batch:
            self._running[item.key] = self._waiting.pop(item.key)
        try:
            for item in batch:
                if item.alone or item.job.events:
                    self._on_event(item, Started(item.job.id, len(batch)))
            if batch[0].alone:
                await self._run_alone(batch[0])
            else:
                await self._run_and_close(batch)
        except Exception:
            logger.exception("A batch of %d failed outside the model", len(batch))
            for item in list(self._running.values()):
                self._close(item, Error(item.job.id, "inference", FAILED))
        finally:
            self._running.clear()

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

    async def _run_and_close(self, batch: list[Item]) -> None:
        started = self._clock()
        outcomes = await self._outcomes(batch)
        inference_ms = (self._clock() - started) * 1000
        for item, outcome in zip(batch, outcomes, strict=True):
            closing: Closing
            if item.cancelled:
                closing = Returned(item.job.id, "cancelled")
            elif isinstance(outcome, InferenceError):
                closing = Error(item.job.id, outcome.code, outcome.message)
            else:
                queue_ms = (started - item.received_at) * 1000
                closing = Result(item.job.id, outcome, queue_ms, inference_ms, len(batch))
            self._close(item, closing)

    async def _prepared(self, items: Sequence[Item]) -> Sequence[Prepared | InferenceError]:
        """Tokenise; where that fails for all, each by itself."""
        jobs = [item.job for item in items]
        try:
            outcomes = await self._tokenizer_thread.run(lambda: self._pipeline.prepare(jobs))
            _check_number(outcomes, jobs)
        except Exception:
            if len(items) == 1:
                logger.exception("Request %s failed in the tokenizer", items[0].job.request_id)
                return [InferenceFailed(FAILED)]
            return [(await self._prepared([item]))[0] for item in items]
        return outcomes

    async def _outcomes(self, batch: Sequence[Item]) -> list[Outcome]:
        """Run a batch; one that fails is halved until the culprit stands alone, so its mates get their answers."""
        prepared = [item.prepared for item in batch]
        began = self._clock()
        try:
            outcomes, compute_ms = await self._model_thread.run(lambda: self._timed_run(prepared))
            _check_number(outcomes, prepared)
        except Exception as error:
            if len(batch) == 1:
                logger.exception("Request %s failed in the model", batch[0].job.request_id)
                return [InferenceFailed(FAILED)]
            logger.warning("A batch of %d failed (%r); its halves run again", len(batch), error)
            middle = len(batch) // 2
            return await self._outcomes(batch[:middle]) + await self._outcomes(batch[middle:])
        self.cost.learn(batch, compute_ms, (self._clock() - began) * 1000)
        t = self.totals
        tokens = sum(item.tokens for item in batch)
        self.totals = Totals(
            t.batches + 1, t.jobs + len(batch), t.tokens + tokens, t.padded_tokens + padded_tokens(batch)
        )
        return outcomes

    def _timed_run(self, prepared: Sequence[Any]) -> tuple[list[Outcome], float]:
        """On the model's thread: what a batch costs the model, without waits for whatever else uses the processor."""
        clock = compute_clock(self._pipeline.description)
        began = clock()
        outcomes = self._pipeline.run(prepared)
        return outcomes, (clock() - began) * 1000

    def _close(self, item: Item, closing: Closing) -> None:
        del self._running[item.key]
        self._on_close(item, closing)


def compute_clock(description: Description) -> Callable[[], float]:
    """Seconds that count for the cost model: the thread's own on a CPU; a device's work is waited for."""
    return time.thread_time if description.device == "cpu" else time.perf_counter


def _check_number(outcomes: Sequence[object], jobs: Sequence[object]) -> None:
    """Misaligned answers would be somebody else's."""
    if len(outcomes) != len(jobs):
        raise RuntimeError(f"{len(jobs)} jobs in, {len(outcomes)} outcomes out")
