"""What only a GPU shows. Without CUDA these are skipped; the rest of the suite runs on the GPU where there is one."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from inference.backends.transformers import backend
from inference.conf import BUNDLED_MODEL, Conf
from inference.messaging.messages import Closing, Event, Job, Result
from inference.worker.batching.batcher import Batcher
from inference.worker.batching.bisection import is_out_of_memory
from inference.worker.batching.policy import BatchLimits
from inference.worker.executors import Executors, ThreadExecutor
from inference.worker.item import Item
from inference.worker.turns import Turns
from tests import processes, tiny_models
from tests.conftest import client
from tests.processes import Redis

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
    pytest.mark.timeout(120),
]
SPARE_BYTES = 300 << 20


def load(folder: Path | str, **options: Any) -> Any:
    return backend.load(Conf(model=str(folder), **options), lambda progress: None)


def job(text: str, number: int = 0) -> Job:
    return Job(id=number, request_id=f"r{number}", input=text, parameters={}, time_left_s=60)


@pytest.fixture
def little_memory() -> Iterator[None]:
    """A process may take little more than it has now."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + SPARE_BYTES) / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def test_the_model_is_on_the_gpu() -> None:
    pipeline = load(BUNDLED_MODEL)
    assert (pipeline.description.device, pipeline.concurrent_batches, pipeline.pads) == ("cuda:0", 1, True)
    assert type(pipeline).__name__ == "FillMask"
    pipeline.close()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_texts_are_generated_step_by_step_in_every_precision(tmp_path: Path, dtype: str) -> None:
    pipeline = load(tiny_models.llama(tmp_path), dtype=dtype)
    assert pipeline.description.streams
    assert pipeline.description.dtype == dtype
    pipeline.close()


def test_what_a_closed_model_had_is_free() -> None:
    load(BUNDLED_MODEL).close()  # workspaces of libraries stay
    before = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    pipeline = load(BUNDLED_MODEL)
    pipeline.run(pipeline.prepare([job("a [MASK] " + "stone " * 400, number) for number in range(32)]))
    assert torch.cuda.memory_allocated() > before[0] + (40 << 20)
    pipeline.close()
    assert (torch.cuda.memory_allocated(), torch.cuda.memory_reserved()) == before


@pytest.mark.usefixtures("little_memory")
async def test_a_batch_that_is_too_much_for_the_memory_is_halved_and_later_ones_are_smaller() -> None:
    thread, tokenizer_thread = ThreadExecutor("model-test"), ThreadExecutor("tokenizer-test")
    pipeline = await thread.run(lambda: load(BUNDLED_MODEL, max_batch_tokens=10_000_000))
    closed: list[Closing] = []
    all_closed = asyncio.Event()

    class Replies:
        def event(self, item: Item, event: Event) -> None: ...

        def close(self, item: Item, closing: Closing) -> None:
            closed.append(closing)
            if len(closed) == 400:
                all_closed.set()

        async def taken(self, item: Item) -> None: ...

    limits = BatchLimits(max_batch_size=2000, max_batch_tokens=10_000_000, batch_window_s=0.5)
    runner = Batcher(pipeline, Turns(Executors(tokenizer_thread, thread)).join(), limits, Replies())
    running = asyncio.create_task(runner.run())
    text = "a [MASK] " + "stone " * 400
    for number in range(400):
        runner.add(Item(("here", number), job(text, number), asyncio.get_running_loop().time()))
    async with asyncio.timeout(60):
        await all_closed.wait()
    running.cancel()
    assert all(isinstance(closing, Result) for closing in closed)
    assert runner._limits.max_batch_tokens <= 100_000
    await thread.run(pipeline.close)
    thread.close()
    tokenizer_thread.close()


@pytest.mark.usefixtures("little_memory")
def test_texts_that_are_too_much_for_the_memory_are_generated_by_fewer(tmp_path: Path) -> None:
    folder = tiny_models.decoder(tmp_path, "Llama", 4096, hidden_size=128, num_hidden_layers=4, intermediate_size=64)
    pipeline = load(folder, max_batch_tokens=1_000_000)
    wanted = Job(
        id=0,
        request_id="r",
        input="once upon a time",
        parameters={"max_new_tokens": 4000, "do_sample": False},
        time_left_s=60,
    )
    texts = pipeline.prepare([wanted] * 64)
    with pytest.raises(RuntimeError) as raised:
        pipeline.step(texts)
    assert is_out_of_memory(raised.value)
    del raised
    pipeline.retain(texts[:1])
    [made] = pipeline.step(texts[:1])
    assert made is not None
    assert made.index == 0
    pipeline.close()


def test_an_input_that_costs_the_device_ends_its_worker(tmp_path: Path, redis: Redis) -> None:
    """An embedded one with its process. On a CPU it would only be an error of this one input."""
    env = {"INFERENCE_MODEL": str(tiny_models.poisonable(tmp_path / "m")), "INFERENCE_LAYER_PREFIX": "device"}
    poisoned = {"inputs": f"a {tiny_models.POISON}"}
    with processes.web(env=env) as server, client(server) as http:
        assert http.post("/", content="a boat").status_code == 200
        with pytest.raises(Exception, match=r"."):  # the connection ends with the process
            http.post("/", json=poisoned)
        assert server.wait() == 1
        assert "The device is lost to this process" in server.last_line()
    with processes.worker(redis, env) as worker, processes.web(redis, env) as server, client(server) as http:
        late = http.post("/", json=poisoned, headers={"x-request-timeout-seconds": "12"})
        assert json.loads(late.content)["error_type"] == "timeout"
        assert worker.wait() == 1
        assert "The device is lost to this process" in worker.log()
