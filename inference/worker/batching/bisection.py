"""A batch that fails: which of its inputs is to blame, what to tell the others, and whether memory was the reason."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from inference.backends.base import FAILED
from inference.errors import InferenceError, InferenceFailed
from inference.observability import tracing
from inference.worker.item import Item

logger = logging.getLogger(__name__)

ALIKE = 8
"""Inputs that failed one by one in the same way, before any was answered, after which it is not the inputs."""
OUT_OF_MEMORY = ("out of memory", "allocate memory", "not enough memory")
"""What PyTorch's allocators say: CUDA's and MPS', the CPU's, and the CPU's on other systems."""

Made = TypeVar("Made")


class Bisection(Generic[Made]):
    """Runs one batch. One that fails is halved until the culprit stands alone, so that its mates get their answers.

    But when one input after the other fails alike and none is answered, something else is to blame (a device that is
    gone, say): then the rest share the error, instead of two more calls for each of them.

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
        # Not while the exception is handled: its traceback holds the tensors of what has failed.
        middle = len(batch) // 2
        return [*await self.outcomes(batch[:middle]), *await self.outcomes(batch[middle:])]

    def _note(self, item: Item, error: Exception) -> None:
        job = item.job
        extra = tracing.fields(job.request_id, job.traceparent)
        logger.error("Request %s failed in the model", job.request_id, exc_info=error, extra=extra)
        self._failed_alike = 0 if self._answered else self._failed_alike * (type(error) is self._kind) + 1
        self._kind = type(error)
        if self._failed_alike == ALIKE:
            logger.error("%d inputs failed alike and none was answered: the rest of the batch shares the error", ALIKE)


def is_out_of_memory(error: Exception) -> bool:
    """``torch.OutOfMemoryError``, or what the other allocators raise: a ``RuntimeError`` with certain words."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in OUT_OF_MEMORY)
