"""Runs waiting jobs in batches that the batch policy chooses."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from inference.backends.base import FAILED, BatchedPipeline, Outcome, check_number, compute_clock
from inference.backends.sizes import computed_tokens
from inference.errors import InferenceError
from inference.messaging.messages import Closing, Error, Result, Returned, Started, Totals
from inference.tasks.arrays import Array
from inference.tasks.media import Media
from inference.worker.batching.bisection import Bisection, is_out_of_memory
from inference.worker.batching.policy import BatchLimits, choose_batch
from inference.worker.executors import ThreadExecutor
from inference.worker.item import Item, JobReplies
from inference.worker.job_runner import JobRunner
from inference.worker.turns import TURN_MS, Share

logger = logging.getLogger(__name__)

WORTH_RUNNING_BESIDE = 2.0
"""Least work of a batch that runs beside another, as a multiple of its fixed cost. The fixed part is mostly Python,
which does not run in parallel."""


class Batcher(JobRunner):
    """Runs batches of tokenised jobs, side by side where the pipeline allows it, while the next are tokenised."""

    _pipeline: BatchedPipeline

    def __init__(self, pipeline: BatchedPipeline, share: Share, limits: BatchLimits, replies: JobReplies) -> None:
        super().__init__(pipeline, share, limits, replies)
        self._last_end = 0.0
        self._alarm: asyncio.TimerHandle | None = None

    async def _run_forever(self) -> None:
        async with asyncio.TaskGroup() as batches:
            self._share.start = lambda: self._start(batches)
            self._share.has_work = lambda: bool(self._waiting or self._running)
            try:
                while True:
                    self._changed.clear()
                    self._share.look()
                    await self._changed.wait()
            finally:
                self._share.start = lambda: True  # the group takes no more tasks
                self._look_again_at(None)

    def _look_again_at(self, moment: float | None) -> None:
        if self._alarm:
            self._alarm.cancel()
        self._alarm = None if moment is None else asyncio.get_running_loop().call_at(moment, self._changed.set)

    def _start(self, batches: asyncio.TaskGroup) -> bool:
        """Start a batch on each free thread. False if one waits for a thread."""
        while self._waiting:
            thread = self._share.free(narrow=(narrow := self._runs_beside_another()))
            if thread is None:
                return False
            limits = self._limits_now(narrow=narrow)
            choice = choose_batch(tuple(self._waiting.values()), limits, self.cost.model, self._clock())
            for item in choice.expired:
                del self._waiting[item.key]
                self._replies.close(item, Returned(item.job.id, "expired"))
            if not choice.batch:
                self._look_again_at(choice.look_again_at)  # also if the look was another pipeline's
                return True
            if choice.batch[0].alone and (thread := self._share.free(narrow=False)) is None:
                return False  # it starts when the running batches have ended
            for item in choice.batch:
                self._running[item.key] = self._waiting.pop(item.key)
            self._share.take(thread, self._predict_ms(choice.batch))
            batches.create_task(self._run_batch(choice.batch, thread))
        return True

    def _predict_ms(self, batch: Sequence[Item]) -> float:
        return self.cost.model.predict_ms(len(batch), computed_tokens(batch, pads=self._limits.pads))

    def _runs_beside_another(self) -> bool:
        """Whether the waiting jobs are enough to run beside another batch; a little work is faster on all cores.

        While another pipeline has work, that pipeline has the other cores.
        """
        if self._pipeline.concurrent_batches == 1:  # the narrow threads are there for another pipeline
            return False
        if self._share.contended:
            return True
        waiting, cost = self._waiting.values(), self.cost.model
        sharing = 1 if self._running else self._executors.side_by_side
        if len(waiting) < sharing:
            return False
        work_ms = cost.useful_ms(len(waiting), sum(item.tokens for item in waiting))
        return work_ms >= WORTH_RUNNING_BESIDE * cost.fixed_ms * sharing

    def _limits_now(self, *, narrow: bool) -> BatchLimits:
        """Bound a batch beside another to an executor's part of all jobs here, so that none is left without work."""
        limits = self._limits
        if narrow and not limits.batch_window_s:
            part = -(-(len(self._waiting) + len(self._running)) // self._executors.side_by_side)
            limits = replace(limits, max_batch_size=max(1, min(limits.max_batch_size, part)))
        return replace(limits, max_ms=TURN_MS) if self._share.contended else limits

    async def _run_batch(self, batch: list[Item], thread: ThreadExecutor) -> None:
        try:
            if batch[0].alone:
                await self._run_alone(batch[0])
                return
            for item in batch:
                if item.job.events:
                    self._replies.event(item, Started(item.job.id, len(batch)))
            await self._run_and_close(batch, thread)
        except Exception:
            logger.exception("A batch of %d failed outside the model", len(batch))
            for item in batch:
                if item.key in self._running:
                    self._close(item, Error(item.job.id, "inference", FAILED))
        finally:
            self._share.give_back(thread)
            self._changed.set()

    async def _run_and_close(self, items: list[Item], thread: ThreadExecutor | None = None) -> None:
        started = self._clock()
        executor = thread or self._executors.wide
        outcomes = await Bisection(lambda batch: self._run_once(batch, executor)).outcomes(items)
        inference_ms = (self._clock() - started) * 1000
        ms_per_token = inference_ms / (sum(item.tokens for item in items) or 1)
        for item, outcome in zip(items, outcomes, strict=True):
            closing: Closing
            if item.cancelled:
                closing = Returned(item.job.id, "cancelled")
            elif item.expires_at <= self._clock():
                closing = Returned(item.job.id, "expired")  # already answered by its web process, and perhaps cut short
            elif isinstance(outcome, InferenceError):
                closing = Error(item.job.id, outcome.code, outcome.message)
            else:
                queue_ms = (started - item.received_at) * 1000
                closing = Result(
                    item.job.id,
                    outcome if isinstance(outcome, bytes) else outcome.data,
                    queue_ms,
                    inference_ms,
                    len(items),
                    media_type=outcome.type if isinstance(outcome, Media) else "",
                    tokens=item.input_tokens,
                    truncated=item.truncated,
                    heard=item.heard,
                    shape=outcome.shape if isinstance(outcome, Array) else (),
                    model_ms=ms_per_token * item.tokens,
                    padding=item.padding,
                )
            self._close(item, closing)

    async def _run_once(self, batch: Sequence[Item], thread: ThreadExecutor) -> list[Outcome]:
        """Raises whatever the pipeline raises."""
        prepared: list[Any] = [item.prepared for item in batch]
        expected = computed_tokens(batch, pads=self._limits.pads)
        began = self._clock()
        try:
            outcomes, compute_ms = await thread.run(lambda: self._timed_run(prepared), self._predict_ms(batch))
        except Exception as error:
            if self._limits.max_batch_size > 1 and is_out_of_memory(error):
                self._lower_cap(expected)
            raise
        check_number(outcomes, prepared)
        ended = self._clock()
        computed = computed_tokens(prepared, pads=self._limits.pads)  # after the run: see ``base.PreparedJob``
        self.cost.learn(len(batch), computed, compute_ms, (ended - max(began, self._last_end)) * 1000)
        self._last_end = ended
        t = self.totals
        tokens = sum(item.tokens for item in prepared)
        for item in batch:
            item.padding = max(0.0, 1 - tokens / computed) if computed else 0.0
        self.totals = Totals(t.batches + 1, t.jobs + len(batch), t.tokens + tokens, t.padded_tokens + computed)
        return outcomes

    def _lower_cap(self, computed: int) -> None:
        """Halve the tokens of later batches until this worker ends, because the memory will not grow."""
        if (cap := max(1, computed // 2)) < self._limits.max_batch_tokens:
            self._limits = replace(self._limits, max_batch_tokens=cap)
            logger.error(
                "A batch of %d tokens did not fit into the memory; from now on a batch has at most %d. "
                "Set INFERENCE_MAX_BATCH_TOKENS to that.",
                computed,
                cap,
            )

    def _timed_run(self, prepared: Sequence[Any]) -> tuple[list[Outcome], float]:
        """On the model's thread: the outcomes, and the milliseconds by the clock of the cost model."""
        clock = compute_clock(self._pipeline.description)
        began = clock()
        outcomes = self._pipeline.run(prepared)
        return outcomes, (clock() - began) * 1000
