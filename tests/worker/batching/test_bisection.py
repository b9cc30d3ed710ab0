"""Of batches that fail together. (How a batcher takes it: ``tests/worker/batching/test_batcher.py``.)"""

from collections.abc import Callable, Sequence

import pytest
import torch

from inference.errors import InferenceError
from inference.messaging.messages import Job
from inference.worker.batching.bisection import ALIKE, Bisection, is_out_of_memory
from inference.worker.item import Item


def items(count: int) -> list[Item]:
    jobs = [Job(id=n, request_id=str(n), input="", parameters={}, time_left_s=9.0) for n in range(count)]
    return [Item(("web", job.id), job, 0.0) for job in jobs]


class Model:
    """Raises when one of these is in the batch."""

    def __init__(self, bad: set[int], make_error: Callable[[int], Exception] = lambda _: RuntimeError("no")) -> None:
        self.calls = 0
        self._bad = bad
        self._make_error = make_error

    async def run(self, batch: Sequence[Item]) -> list[int]:
        self.calls += 1
        for item in batch:
            if item.job.id in self._bad:
                raise self._make_error(item.job.id)
        return [item.job.id for item in batch]


async def outcomes(model: Model, count: int = 64) -> list[int | None]:
    made = await Bisection(model.run).outcomes(items(count))
    return [None if isinstance(outcome, InferenceError) else outcome for outcome in made]


async def test_one_culprit_costs_no_other_input_its_answer():
    model = Model({17})
    assert await outcomes(model) == [None if n == 17 else n for n in range(64)]
    assert model.calls == 13


async def test_when_all_fail_alike_the_rest_share_the_error():
    model = Model(set(range(64)))
    assert await outcomes(model) == [None] * 64
    assert model.calls <= 2 * ALIKE + 3


async def test_where_one_is_answered_each_is_tried():
    model = Model(set(range(64)) - {ALIKE - 1})
    assert (await outcomes(model))[ALIKE - 1] == ALIKE - 1
    assert model.calls > 64


async def test_inputs_that_fail_in_different_ways_are_each_tried():
    model = Model(set(range(60)), lambda n: ValueError() if n % 2 else RuntimeError())
    assert (await outcomes(model))[60:] == [60, 61, 62, 63]


def test_what_runs_out_of_memory_is_known():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**48)
    assert is_out_of_memory(raised.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))
