"""A batch that fails: find the inputs that make it fail, and answer the others."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from inference.backends.base import FAILED
from inference.errors import InferenceError, InferenceFailed
from inference.observability import tracing
from inference.worker.item import Item

logger = logging.getLogger(__name__)

ALIKE = 8
"""Inputs that fail one by one with the same error, before any is answered, until the rest shares the error."""
OUT_OF_MEMORY = ("out of memory", "allocate memory", "not enough memory")
"""Words of PyTorch's allocators: CUDA's and MPS', the CPU's, and the CPU's on other systems."""

Made = TypeVar("Made")


class Bisection(Generic[Made]):
    """Runs one batch; halves it if it fails, until the failing input is alone and the others have their answers.

    If one input after the other fails in the same way and none is answered, the cause is not the inputs (the device is
    gone, say): then the rest shares the error, which saves two calls for each.

    Args:
        run: one outcome for each item, in order; raises if they failed together.
    """

    def __init__(self, run: Callable[[Sequence[Item]], Awaitable[Sequence[Made]]]) -> None:
        self._run = run
        self._answered = False
        self._failed_alike = 0
        self._kind: type[Exception] | None = None

    async def outcomes(self, batch: Sequence[Item]) -> "list[Made | InferenceError]":
        if self._failed_alike >= ALIKE:
            return [InferenceFailed(FAILED) for _ in batch]
        try:
            made = await self._run(batch)
        except Exception as error:
            if len(batch) == 1:
                self._note(batch[0], error)
                return [InferenceFailed(FAILED)]
            logger.warning("A batch of %d failed (%s); its halves run again", len(batch), repr(error))
        else:
            self._answered = True
            return list(made)
        # Outside the except clause: the exception's traceback holds the tensors of the failed call.
        middle = len(batch) // 2
        return [*await self.outcomes(batch[:middle]), *await self.outcomes(batch[middle:])]

    def _note(self, item: Item, error: Exception) -> None:
        job = item.job
        extra = tracing.fields(job.request_id, job.traceparent)
        logger.error("Request %s failed in the model", job.request_id, exc_info=error, extra=extra)
        self._failed_alike = 0 if self._answered else self._failed_alike * (type(error) is self._kind) + 1
        self._kind = type(error)
        if self._failed_alike == ALIKE:
            logger.error(
                "%d inputs failed in the same way and none was answered: the rest of the batch shares the error", ALIKE
            )


def is_out_of_memory(error: Exception) -> bool:
    """``torch.OutOfMemoryError``, or what other allocators raise: a ``RuntimeError`` with certain words."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in OUT_OF_MEMORY)
