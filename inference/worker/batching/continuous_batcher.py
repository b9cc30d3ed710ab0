"""Continuous batching: between two tokens, jobs join and leave the running batch."""

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from inference.backends.base import (
    FAILED,
    Generated,
    LongSteps,
    ReadsPrompts,
    Stepped,
    SteppedPipeline,
    check_number,
    generated,
)
from inference.errors import InferenceError
from inference.messaging.messages import (
    Cleared,
    Closing,
    Error,
    Generation,
    Result,
    Returned,
    Started,
    Token,
    Totals,
)
from inference.worker.batching.bisection import Bisection
from inference.worker.batching.cost_model import CostEstimate
from inference.worker.batching.policy import BatchLimits
from inference.worker.batching.prompt_pace import ALONE_MS, LEAST_TOKENS, PromptPace
from inference.worker.item import Item, JobReplies, Key
from inference.worker.job_runner import JobRunner
from inference.worker.turns import TURN_MS, Share

logger = logging.getLogger(__name__)

EXTRA_CREDIT = 4
"""Jobs that a worker holds beyond its places, so that a free place is taken with the next token."""


CLEARED_TOKENS = 64
"""A suspect that has generated so many more tokens than it came with is none any more (rule 14)."""
PREDICTS_AFTER = 32
"""Steps after which their cost is known well enough for the watchdog."""


@dataclass(eq=False, slots=True)
class JobProgress:
    """A job in the model. Moments are of the event loop's clock."""

    joined_at: float
    first_token_at: float = 0.0
    first_index: int = 0
    batch_size: int = 0
    """The most jobs that it shared a step with, itself included."""
    model_ms: float = 0.0
    """Its share of the model's time."""
    generated: int = 0
    """Tokens, here."""
    reading_ms: float = 0.0
    """Its share of the model's time for prompts."""


class ContinuousBatcher(JobRunner):
    """Runs one step of the model after the other; each generates a token for every job whose prompt has been read."""

    _pipeline: SteppedPipeline

    def __init__(self, pipeline: SteppedPipeline, share: Share, limits: BatchLimits, replies: JobReplies) -> None:
        super().__init__(pipeline, share, limits, replies)
        self._progress: dict[Key, JobProgress] = {}
        self._long_steps = pipeline if isinstance(pipeline, LongSteps) else None
        self._step_cost = CostEstimate(pipeline.warm_up_costs if self._long_steps else ())
        if self._long_steps and pipeline.warm_up_costs:
            jobs, _, milliseconds = pipeline.warm_up_costs[0]  # its tokens are not those of texts: no job is typical
            self.cost.job_ms = milliseconds / jobs
        self._reader = pipeline if isinstance(pipeline, ReadsPrompts) else None
        self._pace = PromptPace(pipeline.warm_up_costs) if self._reader else None
        self._thread = share.executors.wide
        """Of the turn that runs."""
        self._share.has_work = lambda: bool(self._waiting or self._running)

    @property
    def credit(self) -> int:
        return self._limits.max_batch_size + EXTRA_CREDIT

    @property
    def prefix_bytes(self) -> int:
        return self._reader.figures.bytes if self._reader else 0

    @property
    def reading_ms(self) -> float:
        return self._pace.token_ms if self._pace else 0.0

    async def _run_forever(self) -> None:
        while True:
            self._changed.clear()
            self._give_back_expired()
            if not (self._running or self._waiting):
                self._share.look()
                await self._changed.wait()
                continue
            alone = not self._running and next(iter(self._waiting.values())).alone
            self._thread = await self._share.turn(self._predicted_ms(), narrow=not alone)
            try:
                await self._turn()
            except BaseException:
                self._share.give_back(self._thread)
                raise
            self._share.give_back(self._thread, look=False)

    async def _turn(self) -> None:
        """One step of all that runs, those that join now among them; or a suspect by itself."""
        self._give_back_expired()  # the turn may have come late
        for item in newcomers(
            self._waiting.values(), self._running.values(), self._limits, self._pipeline.cache_tokens
        ):
            self._join(item)
        if self._running:
            await self._guarded_step()
        elif (first := next(iter(self._waiting.values()), None)) and self._thread is self._executors.wide:
            await self._run_suspect(first)

    def _give_back_expired(self) -> None:
        now = self._clock()
        for item in [item for item in self._waiting.values() if item.expires_at <= now]:
            del self._waiting[item.key]
            self._replies.close(item, Returned(item.job.id, "expired"))

    def _join(self, item: Item) -> None:
        self._running[item.key] = self._waiting.pop(item.key)
        self._progress[item.key] = JobProgress(self._clock())
        if item.job.events and not item.alone:
            self._replies.event(item, Started(item.job.id, len(self._running)))

    async def _run_suspect(self, item: Item) -> None:
        self._join(item)
        try:
            await self._run_alone(item)
        except Exception as error:
            self._fail_all(error)

    async def _run_and_close(self, items: list[Item]) -> None:
        """Until they have ended; or, of a suspect, until it is none any more: then it goes on beside others."""
        while any(item.key in self._running and not self._clears(item) for item in items):
            await self._step()

    def _clears(self, item: Item) -> bool:
        """Whether a suspect has generated enough; its web process is told, if it knows what that means."""
        progress = self._progress[item.key]
        if not item.may_clear or progress.generated < CLEARED_TOKENS:
            return False
        item.alone = False
        self._replies.event(item, Cleared(item.job.id))
        return True

    async def _guarded_step(self) -> None:
        try:
            await self._step()
        except Exception as error:
            self._fail_all(error)

    def _fail_all(self, error: Exception) -> None:
        logger.error("A step with %d jobs failed outside the model", len(self._running), exc_info=error)
        for item in list(self._running.values()):
            self._close(item, Error(item.job.id, "inference", FAILED))

    async def _step(self) -> None:
        """Generate a token for every running job; close those that have ended, expired or been cancelled."""
        items = list(self._running.values())
        for item, outcome in zip(items, await self._outcomes(items), strict=True):
            self._progress[item.key].batch_size = max(self._progress[item.key].batch_size, len(items))
            if isinstance(outcome, InferenceError):
                self._close(item, Error(item.job.id, outcome.code, outcome.message))
            else:
                for made in generated(outcome):
                    self._take(item, made)
        now = self._clock()
        for item in list(self._running.values()):
            if item.cancelled or item.expires_at <= now:
                self._close(item, Returned(item.job.id, "cancelled" if item.cancelled else "expired"))
        if not self._running:
            await self._thread.run(lambda: self._pipeline.retain(()))

    def _take(self, item: Item, made: Generated) -> None:
        progress, now = self._progress[item.key], self._clock()
        if not progress.first_token_at:
            progress.first_token_at, progress.first_index = now, made.index
        progress.generated += 1
        token = Token(item.job.id, made.index, made.token, made.text, made.logprob, made.special, made.data, made.top)
        if made.finish_reason is None:
            if item.job.tokens and not item.cancelled:
                self._replies.event(item, token)
            return
        after_first = made.index - progress.first_index
        generation = Generation(
            finish_reason=made.finish_reason,
            prompt_tokens=item.tokens,
            generated_tokens=made.index + 1,
            first_token_ms=(progress.first_token_at - item.received_at) * 1000,
            token_ms=(now - progress.first_token_at) * 1000 / after_first if after_first else 0.0,
            last=token if item.job.tokens else None,
            cached_tokens=getattr(item.prepared, "cached_tokens", 0),  # see ``base.Counted``
            reading_ms=progress.reading_ms,
        )
        self._note_end(item.tokens + generation.generated_tokens, progress.model_ms)
        queue_ms, inference_ms = (progress.joined_at - item.received_at) * 1000, (now - progress.joined_at) * 1000
        result = Result(
            item.job.id,
            made.output,
            queue_ms,
            inference_ms,
            progress.batch_size,
            generation,
            tokens=item.input_tokens,
            truncated=item.truncated,
            heard=item.heard,
            model_ms=progress.model_ms,
        )
        self._close(item, result)

    async def _outcomes(self, items: Sequence[Item]) -> Sequence[Stepped]:
        """One step; if it fails, only the failing jobs are affected."""
        everything = [item.prepared for item in items]

        async def step(some: Sequence[Item]) -> Sequence[Stepped]:
            prepared = [item.prepared for item in some]
            prompt_tokens = self._prompt_tokens(some)
            tokens = self._pipeline.step_tokens(prepared, prompt_tokens)
            predicted_ms = self._step_cost.model.predict_ms(len(some), tokens) or None
            if self.totals.batches < PREDICTS_AFTER and self._long_steps is None:
                predicted_ms = None
            began = self._clock()
            outcomes = await self._thread.run(
                lambda: self._retain_and_step(everything, prepared, prompt_tokens), predicted_ms
            )
            check_number(outcomes, some)
            computed = self._long_steps.computed_tokens if self._long_steps else tokens
            self._note_step(some, computed, (self._clock() - began) * 1000)
            return outcomes

        return await Bisection(step).outcomes(items)

    def _predicted_ms(self) -> float:
        """Of the next step, roughly: a token for each text."""
        texts = len(self._running) or 1
        return self._step_cost.model.predict_ms(texts, texts)

    def _prompt_tokens(self, items: Sequence[Item]) -> int | None:
        """How many tokens of prompts a step may read; ``None`` leaves it to the pipeline."""
        contended, cost, texts = self._share.contended, self._step_cost.model, len(items)
        if self._pace:
            unread = len(self._unread(items))
            return self._pace.tokens(texts - unread, unread, TURN_MS if contended else ALONE_MS)
        if not (contended and cost.per_token_ms):
            return None
        return max(LEAST_TOKENS, int((TURN_MS - cost.predict_ms(texts, texts)) / cost.per_token_ms))

    def _unread(self, items: Sequence[Item]) -> list[Item]:
        """Those that have had no token yet."""
        return [item for item in items if not self._progress[item.key].first_token_at]

    def _note_step(self, items: Sequence[Item], tokens: int, milliseconds: float) -> None:
        """``tokens`` were computed; of the outcomes nothing is known yet."""
        self._step_cost.learn(len(items), tokens, milliseconds, milliseconds)
        for item in items:
            self._progress[item.key].model_ms += milliseconds / len(items)
        if self._pace:
            self._note_reading(self._pace, items, tokens, milliseconds)
        of_texts = self._reader.figures[1:] if self._reader else ()
        t = self.totals
        self.totals = Totals(t.batches + 1, t.jobs, t.tokens, t.padded_tokens, *of_texts)

    def _note_reading(self, pace: PromptPace, items: Sequence[Item], tokens: int, milliseconds: float) -> None:
        """Whoever has not been read shares what it took: one of them may have read for the others."""
        unread = self._unread(items)
        decoding = len(items) - len(unread)
        prompt_tokens = tokens - decoding if unread else 0  # without prompts, the others are guesses
        for item in unread:
            self._progress[item.key].reading_ms += pace.reading_ms(prompt_tokens, milliseconds) / len(unread)
        pace.learn(decoding, prompt_tokens, milliseconds)

    def _retain_and_step(
        self, everything: Collection[Any], prepared: Sequence[Any], prompt_tokens: int | None
    ) -> Sequence[Stepped]:
        self._pipeline.retain(everything)
        return self._pipeline.step(prepared, prompt_tokens)

    def _note_end(self, tokens: int, model_ms: float) -> None:
        self.cost.learn_job(model_ms)
        t = self.totals
        self.totals = msgspec.structs.replace(
            t, jobs=t.jobs + 1, tokens=t.tokens + tokens, padded_tokens=t.padded_tokens + tokens
        )

    def _close(self, item: Item, closing: Closing) -> None:
        self._progress.pop(item.key, None)
        super()._close(item, closing)


def newcomers(
    waiting: Iterable[Item],
    running: Collection[Item],
    limits: BatchLimits,
    cache_tokens: Callable[[Collection[Any]], int],
) -> list[Item]:
    """The jobs that join now: the oldest, while there are places, and cache for the longest that they may get.

    None overtakes another, so that long ones get their turn. A suspect runs alone.
    """
    joining: list[Item] = []
    places = limits.max_batch_size - len(running)
    together = [item.prepared for item in running]
    for item in waiting:
        together.append(item.prepared)
        if item.alone or places <= len(joining) or cache_tokens(together) > limits.max_batch_tokens:
            break
        joining.append(item)
    return joining
