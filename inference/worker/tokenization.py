"""Tokenisation: which jobs share a call of the tokenizer, and how a failed call is divided."""

import asyncio
import logging
from collections.abc import Iterable, Sequence

from inference.backends.base import FAILED, Pipeline, PreparedJob, check_number
from inference.errors import InferenceError, InferenceFailed
from inference.observability import tracing
from inference.worker.executors import Executors
from inference.worker.item import Item

logger = logging.getLogger(__name__)

CALL_JOBS, CALL_CHARS = 32, 65_536
"""Bounds of one call: if it hangs, all jobs in it are suspects. A larger input has a call of its own."""
SPEED_MEMORY = 0.9
"""Weight of the known speed when a new measurement arrives."""


class Tokenization:
    """Calls the tokenizer on its thread and predicts how long each call takes.

    ``lock`` is held by the caller for as long as nothing else may be tokenised, of any pipeline at this host.
    """

    def __init__(self, pipeline: Pipeline, executors: Executors) -> None:
        self.lock = executors.tokenizing
        self._pipeline = pipeline
        self._thread = executors.tokenizer
        self._ms_per_char: float | None = None
        self._clock = asyncio.get_running_loop().time

    async def prepare(self, items: Sequence[Item]) -> Sequence[PreparedJob | InferenceError]:
        """One outcome per item, in order. If the call fails, each item is tried by itself."""
        try:
            return await self._call(items)
        except Exception:
            if len(items) == 1:
                job = items[0].job
                logger.exception(
                    "Request %s failed in the tokenizer",
                    job.request_id,
                    extra=tracing.fields(job.request_id, job.traceparent),
                )
                return [InferenceFailed(FAILED)]
            return [(await self.prepare([item]))[0] for item in items]

    async def _call(self, items: Sequence[Item]) -> Sequence[PreparedJob | InferenceError]:
        """Raises whatever the tokenizer raises."""
        jobs, chars = [item.job for item in items], max(1, sum(item.chars for item in items))
        known, began = self._ms_per_char, self._clock()
        predicted_ms = None if known is None else known * chars
        outcomes = await self._thread.run(lambda: self._pipeline.prepare(jobs), predicted_ms)
        check_number(outcomes, jobs)
        measured = (self._clock() - began) * 1000 / chars
        self._ms_per_char = measured if known is None else known + (1 - SPEED_MEMORY) * (measured - known)
        return outcomes


def first_call(arrived: Iterable[Item]) -> list[Item]:
    """As many of the oldest as one call of the tokenizer may have, at least one."""
    chosen: list[Item] = []
    chars = 0
    for item in arrived:
        chars += item.chars
        if chosen and (len(chosen) == CALL_JOBS or chars > CALL_CHARS):
            break
        chosen.append(item)
    return chosen
