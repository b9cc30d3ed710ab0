"""The threads that run batches: a wide one, with all of the processor, and narrow ones for batches side by side."""

from collections.abc import Callable, Sequence
from functools import partial

from inference.worker.executors import ModelThread


class Lanes:
    """Which thread runs the next batch.

    Two batches side by side, with half of the cores each, get more out of a processor than one after the other with all
    of them (decision 0007): no core waits for another at the end of each operator, nor for the next batch. A lone job
    or a little work has all cores, and so has whatever must run with nothing else in the model.

    Args:
        wide: may use all cores.
        narrow: each may use its share of them. None: one batch after the other, on ``wide``.
    """

    def __init__(self, wide: ModelThread, narrow: Sequence[ModelThread] = ()) -> None:
        self.wide = wide
        self.side_by_side = max(1, len(narrow))
        self._narrow = tuple(narrow)
        self._busy: set[ModelThread] = set()

    def free(self, *, narrow: bool) -> ModelThread | None:
        """A thread for the next batch, if there is one; ``narrow``: the batch may run beside another."""
        if not self._narrow or not narrow:
            return None if self._busy else self.wide
        if self.wide in self._busy:
            return None
        return next((thread for thread in self._narrow if thread not in self._busy), None)

    def take(self, thread: ModelThread) -> None:
        self._busy.add(thread)

    def give_back(self, thread: ModelThread) -> None:
        self._busy.discard(thread)

    def close(self, last: Callable[[], object] | None = None) -> None:
        """End the threads after what they are at; ``last`` runs on the wide one, when the others have ended."""
        for thread in self._narrow:
            thread.close()
        self.wide.close(None if last is None else partial(self._after_others, last))

    def _after_others(self, last: Callable[[], object]) -> None:
        for thread in self._narrow:
            thread.join()
        last()
