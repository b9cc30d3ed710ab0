"""The loop around the batch policy: waiting jobs in, exactly one closing entry per job out."""

import asyncio
import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from inference.batch_policy import Limits, choose
from inference.errors import InferenceError, InferenceFailed
from inference.messages import Closing, Description, Error, Job, Result, Returned, Started
from inference.model_thread import ModelThread
from inference.tasks import TASKS

logger = logging.getLogger(__name__)

GO_TIMEOUT_S = 1.0
"""How long an ``alone`` job waits for the web's ``Go`` before it is given back."""

FAILED = "The model failed on this input; the server's log has the details under this request's id."

Outcome = bytes | InferenceError
Key = tuple[str, int]
"""Reply channel and job id: what a job is called in the whole system."""


class LoadedPipeline(Protocol):
    """A pipeline that is loaded and warm. ``run`` is called on the model's thread, one batch at a time."""

    @property
    def description(self) -> Description: ...

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """One outcome per job, in order: JSON, or what was wrong with this job. Raises if the batch failed."""
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

    @property
    def expires_at(self) -> float:
        return self.received_at + self.job.time_left_s


class Batcher:
    """``on_event`` hears that jobs start, ``on_close`` gets each job's closing entry; neither may raise or block."""

    def __init__(
        self,
        pipeline: LoadedPipeline,
        thread: ModelThread,
        limits: Limits,
        on_event: Callable[[Item, Started], None],
        on_close: Callable[[Item, Closing], None],
    ) -> None:
        self._pipeline = pipeline
        self._thread = thread
        self._limits = limits
        self._on_event = on_event
        self._on_close = on_close
        self._task = TASKS[pipeline.description.task]
        self._waiting: dict[Key, Item] = {}
        self._running: dict[Key, Item] = {}
        self._changed = asyncio.Event()

    @property
    def depth(self) -> int:
        """Jobs that wait here, not counting those in the model."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        return not self._waiting and not self._running

    def add(self, item: Item) -> None:
        item.batch_key = self._task.batch_key(item.job.parameters)
        item.alone = item.alone or item.job.alone
        self._waiting[item.key] = item
        self._changed.set()

    def set_alone(self, key: Key) -> None:
        if item := self._waiting.get(key):
            item.alone = True

    def go(self, key: Key) -> None:
        if item := self._running.get(key):
            item.go.set()

    def cancel(self, key: Key) -> None:
        """A waiting job is given back now, a running one when its batch ends; an unknown one is none of ours."""
        if item := self._waiting.pop(key, None):
            self._on_close(item, Returned(item.job.id, "cancelled"))
            self._changed.set()
        elif item := self._running.get(key):
            item.cancelled = True

    def return_waiting(self, reason: Literal["draining"]) -> None:
        """Give back what has not started."""
        waiting, self._waiting = self._waiting, {}
        for item in waiting.values():
            self._on_close(item, Returned(item.job.id, reason))

    async def run(self) -> None:
        """Run batches until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            self._changed.clear()
            choice = choose(tuple(self._waiting.values()), self._limits, clock())
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
        open_items = dict(self._running)
        try:
            for item in batch:
                if item.alone or item.job.events:
                    self._on_event(item, Started(item.job.id, len(batch)))
            if batch[0].alone and not await self._allowed(batch[0]):
                self._close(open_items, batch[0], Returned(batch[0].job.id, "no_go"))
                return
            await self._run_and_close(batch, open_items)
        except Exception:
            logger.exception("A batch of %d failed outside the model", len(batch))
            for item in open_items.values():
                self._on_close(item, Error(item.job.id, "inference", FAILED))
        finally:
            self._running.clear()

    async def _allowed(self, item: Item) -> bool:
        try:
            async with asyncio.timeout(GO_TIMEOUT_S):
                await item.go.wait()
        except TimeoutError:
            return False
        return True

    async def _run_and_close(self, batch: list[Item], open_items: dict[Key, Item]) -> None:
        clock = asyncio.get_running_loop().time
        started = clock()
        outcomes = await self._outcomes(batch)
        inference_ms = (clock() - started) * 1000
        for item, outcome in zip(batch, outcomes, strict=True):
            closing: Closing
            if item.cancelled:
                closing = Returned(item.job.id, "cancelled")
            elif isinstance(outcome, InferenceError):
                closing = Error(item.job.id, outcome.code, outcome.message)
            else:
                queue_ms = (started - item.received_at) * 1000
                closing = Result(item.job.id, outcome, queue_ms, inference_ms, len(batch))
            self._close(open_items, item, closing)

    async def _outcomes(self, batch: Sequence[Item]) -> list[Outcome]:
        """Run a batch; one that fails is halved until the culprit stands alone, so its mates get their answers."""
        jobs = [item.job for item in batch]
        try:
            outcomes = await self._thread.run(lambda: self._pipeline.run(jobs))
            if len(outcomes) != len(jobs):
                raise RuntimeError(f"{len(jobs)} jobs in, {len(outcomes)} outcomes out")
        except Exception as error:
            if len(batch) == 1:
                logger.exception("Request %s failed in the model", batch[0].job.request_id)
                return [InferenceFailed(FAILED)]
            logger.warning("A batch of %d failed (%r); its halves run again", len(batch), error)
            middle = len(batch) // 2
            return await self._outcomes(batch[:middle]) + await self._outcomes(batch[middle:])
        return outcomes

    def _close(self, open_items: dict[Key, Item], item: Item, closing: Closing) -> None:
        del open_items[item.key]
        self._on_close(item, closing)
