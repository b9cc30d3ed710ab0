"""What all runners of jobs share: a job is held, tokenised, run, and closed exactly once."""

import asyncio
from typing import Literal

from inference.backends.base import Pipeline, PreparedJob, Stoppable
from inference.errors import InferenceError
from inference.messaging.messages import Closing, Error, Returned, Started, Totals
from inference.tasks import TASKS
from inference.worker.batching.cost_model import CostEstimate
from inference.worker.batching.policy import BatchLimits
from inference.worker.item import Item, JobReplies, Key
from inference.worker.tokenization import Tokenization, first_call
from inference.worker.turns import Share

WORK_MS = 1000.0
"""Predicted work that a worker holds at most: while it waits here, it cannot be sent to another worker."""
UNLIMITED = 1 << 31
GO_TIMEOUT_S = 1.0
"""How long an ``alone`` job waits for the web's ``Go`` before it is given back."""


class JobRunner:
    """Jobs at a worker, from receipt to their closing entry; a subclass decides how waiting jobs are run."""

    def __init__(self, pipeline: Pipeline, share: Share, limits: BatchLimits, replies: JobReplies) -> None:
        self.cost = CostEstimate(pipeline.warm_up_costs, limits.max_batch_size)
        self.totals = Totals()
        self._pipeline: Pipeline = pipeline
        self._share = share
        self._executors = share.executors
        self._limits = limits
        self._replies = replies
        self._task = TASKS[pipeline.description.task]
        self._tokenization = Tokenization(pipeline, share.executors)
        self._arrived: dict[Key, Item] = {}
        self._in_tokenizer: dict[Key, Item] = {}
        self._waiting: dict[Key, Item] = {}
        self._running: dict[Key, Item] = {}
        self._has_arrived = asyncio.Event()
        self._changed = asyncio.Event()
        self._draining = False
        self._clock = asyncio.get_running_loop().time

    @property
    def credit(self) -> int:
        """Jobs that it wants to hold: a second of work, and at least two, so that the model has no gaps."""
        return max(2, int(WORK_MS / self.cost.job_ms)) if self.cost.job_ms else UNLIMITED

    @property
    def prefix_bytes(self) -> int:
        """Held of prompts, for later ones that begin equally."""
        return 0

    @property
    def reading_ms(self) -> float:
        """Model time of one token of a prompt; 0 where that is not known, or prompts are not read in parts."""
        return 0.0

    @property
    def depth(self) -> int:
        """Jobs that wait here, without those in the model."""
        return len(self._arrived) + len(self._in_tokenizer) + len(self._waiting)

    @property
    def running(self) -> int:
        """Jobs in the model."""
        return len(self._running)

    def add(self, item: Item) -> None:
        item.batch_key = self._task.batch_key(item.job.parameters)
        item.alone = item.alone or item.job.alone
        if item.alone:  # it may end the tokenizer as well as the model: tokenised when its turn comes
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
        """Give a waiting job back now, a running one when its run ends; unknown keys are ignored."""
        for items in (self._arrived, self._in_tokenizer, self._waiting):
            if item := items.pop(key, None):
                self._replies.close(item, Returned(item.job.id, "cancelled"))
                self._changed.set()
                return
        if item := self._running.get(key):
            item.cancelled = True
            item.go.set()  # or the model would be idle until the wait for it ends
            prepared: object = item.prepared
            if isinstance(prepared, Stoppable):
                prepared.stop()

    def return_waiting(self, reason: Literal["draining"]) -> None:
        """Give back what has not started. Jobs in the tokenizer follow when they leave it."""
        self._draining = True
        for items in (self._arrived, self._waiting):
            returned = list(items.values())
            items.clear()
            for item in returned:
                self._replies.close(item, Returned(item.job.id, reason))

    async def run(self) -> None:
        """Tokenise and run until cancelled. If either loop ends, so does the other: no job waits for ever."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._tokenize_forever())
            await self._run_forever()

    async def _run_forever(self) -> None:
        """Run what waits; ``_changed`` is set whenever that has changed."""
        raise NotImplementedError

    async def _run_and_close(self, items: list[Item]) -> None:
        """Run these to their end, and nothing else meanwhile."""
        raise NotImplementedError

    async def _tokenize_forever(self) -> None:
        while True:
            await self._has_arrived.wait()
            self._has_arrived.clear()
            while self._arrived:
                async with self._tokenization.lock:
                    items = self._enter_tokenizer()  # within the lock: until then a job may still be set alone
                    outcomes = await self._tokenization.prepare(items) if items else []
                for item, outcome in zip(items, outcomes, strict=True):
                    if self._in_tokenizer.pop(item.key, None):  # not cancelled meanwhile
                        self._leave_tokenizer(item, outcome)
                self._changed.set()

    def _enter_tokenizer(self) -> list[Item]:
        items = first_call(self._arrived.values())
        for item in items:
            self._in_tokenizer[item.key] = self._arrived.pop(item.key)
        return items

    def _leave_tokenizer(self, item: Item, outcome: PreparedJob | InferenceError) -> None:
        if isinstance(outcome, InferenceError):
            self._replies.close(item, Error(item.job.id, outcome.code, outcome.message))
        elif self._draining:
            self._replies.close(item, Returned(item.job.id, "draining"))
        else:
            item.take(outcome)
            self._waiting[item.key] = item

    async def _run_alone(self, item: Item) -> None:
        """Ask for ``go``, then run it; from the question on, nothing else is in a model or tokenizer of this host."""
        async with self._tokenization.lock:
            self._replies.event(item, Started(item.job.id, 1))
            await self._run_with_go(item)
        if item.key not in self._running:
            # Otherwise whatever ends the host next would be counted against this job as well.
            await self._replies.taken(item)

    async def _run_with_go(self, item: Item) -> None:
        try:
            async with asyncio.timeout(GO_TIMEOUT_S):
                await item.go.wait()
        except TimeoutError:
            self._close(item, Returned(item.job.id, "no_go"))
            return
        if item.cancelled:
            self._close(item, Returned(item.job.id, "cancelled"))
            return
        [outcome] = await self._tokenization.prepare([item])
        if isinstance(outcome, InferenceError):
            self._close(item, Error(item.job.id, outcome.code, outcome.message))
            return
        item.take(outcome)
        await self._run_and_close([item])

    def _close(self, item: Item, closing: Closing) -> None:
        """Close a running job."""
        del self._running[item.key]
        self._replies.close(item, closing)
