"""A model can be freed: after ``close`` nothing holds it any more, and a worker that ends closes its pipeline."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inference.backends.transformers import backend
from inference.backends.transformers.warm_up import example
from inference.conf import Conf
from inference.messaging.messages import Job
from inference.worker.executors import Executors, ThreadExecutor
from tests import virtual_time
from tests.simulation import SimulatedExecutor, SimulatedModel, World


@pytest.fixture
def only_counting() -> Iterator[None]:
    """What is in a cycle stays."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("only_counting")
@pytest.mark.parametrize(
    ("name", "kind", "ragged"),
    [
        ("text_classification", "TextClassification", True),
        ("fill_mask", "FillMask", True),
        ("fill_mask", "FillMask", False),
        ("fill_mask", "PlainFillMask", True),
        ("llama", "Generator", False),
        ("bloom", "UnbatchedTextGeneration", False),
    ],
)
def test_a_pipeline_that_is_closed_holds_nothing(
    name: str, kind: str, ragged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, tokenizers and cache go with the last reference, without waiting for the garbage collector."""
    from inference.backends.transformers import fill_mask, selection  # noqa: PLC0415 - imports torch
    from tests import tiny_models  # noqa: PLC0415

    if kind == "PlainFillMask":
        monkeypatch.setattr(fill_mask, "_alike", lambda *_: False)
    if not ragged:
        monkeypatch.setattr(selection, "_runs_without_padding", lambda *_: False)
    pipeline: Any = backend.load(
        Conf(model=str(getattr(tiny_models, name)(tmp_path / name)), threads=1), lambda progress: None
    )
    assert type(pipeline).__name__ == kind
    assert hasattr(pipeline, "layout") is (kind not in ("Generator", "UnbatchedTextGeneration"))
    on_cpu = pipeline.description.device == "cpu"
    assert not hasattr(pipeline, "layout") or pipeline.pads is not (ragged and on_cpu)
    pipeline.run(pipeline.prepare([asked(pipeline)]))
    model, tokenizer = pipeline._pipe.model, pipeline._pipe.tokenizer
    held = [weakref.ref(thing) for thing in (model, tokenizer, *model.parameters())]
    assert len(held) > 10
    del model, tokenizer

    pipeline.close()

    assert [reference() for reference in held if reference() is not None] == []


@pytest.mark.usefixtures("only_counting")
@pytest.mark.parametrize("name", ["text_classification", "fill_mask", "llama", "bloom"])
def test_a_device_gets_its_memory_back_once_the_model_is_gone(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch keeps what is freed for itself; other processes of the same GPU see none of it."""
    import torch  # noqa: PLC0415

    from tests import tiny_models  # noqa: PLC0415

    pipeline: Any = backend.load(
        Conf(model=str(getattr(tiny_models, name)(tmp_path / name)), threads=1), lambda progress: None
    )
    pipeline.description = msgspec.structs.replace(pipeline.description, device="cuda:0")
    held = [weakref.ref(weight) for weight in pipeline._pipe.model.parameters()]
    left: list[int] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: left.append(sum(weight() is not None for weight in held)))
    pipeline.close()
    assert left == [0]


def asked(pipeline: Any) -> Job:
    return example(pipeline.description)


def test_closing_gives_back_what_was_changed_in_a_model_that_others_have(tmp_path: Path) -> None:
    from inference.backends.transformers.loading import load_pipeline  # noqa: PLC0415 - imports torch
    from tests import tiny_models  # noqa: PLC0415

    loaded = load_pipeline(Conf(model=str(tiny_models.fill_mask(tmp_path))), lambda progress: None)
    from inference.backends.transformers.fill_mask_fast import FillMask  # noqa: PLC0415

    FillMask(loaded, Conf()).close()
    assert not loaded.pipe.model.base_model._forward_hooks


def test_models_are_not_frozen(tmp_path: Path) -> None:
    from tests import tiny_models  # noqa: PLC0415 - imports torch

    folder = tiny_models.text_classification(tmp_path)
    counts = []
    for _ in range(3):
        backend.load(Conf(model=str(folder), threads=1), lambda progress: None).close()
        counts.append(gc.get_freeze_count())
    assert counts == sorted(counts, reverse=True), "only the first load freezes; what is frozen may still be freed"


# The worker


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[SimulatedModel]:
    """The models of the workers that start."""
    models: list[SimulatedModel] = []

    def make(*given: Any) -> SimulatedModel:
        models.append(model(*given))
        return models[-1]

    model = SimulatedModel
    for module in ("host", "loading"):
        monkeypatch.setattr(f"inference.worker.{module}.ThreadExecutor", SimulatedExecutor)
    monkeypatch.setattr("tests.simulation.SimulatedModel", make)
    return models


def test_a_worker_that_ends_closes_its_pipeline(made: list[SimulatedModel]) -> None:
    async def scenario() -> None:
        world = World(1, workers=1)
        await world.settle(2)
        assert await world.ask("t") == "t"
        assert [model.closed for model in made] == [0]
        [worker] = world.workers
        await worker.drain(timeout_s=5)
        await world.workers[worker]
        assert [model.closed for model in made] == [1]

    virtual_time.run(scenario())


def test_a_model_that_hangs_is_left_alone(made: list[SimulatedModel]) -> None:
    async def scenario() -> None:
        world = World(1, workers=1)
        await world.settle(2)
        asking = asyncio.create_task(world.ask("hang", deadline_s=20))
        await asyncio.sleep(15)
        assert world.hangs >= 1
        assert made[0].closed == 0
        await asyncio.gather(asking, return_exceptions=True)

    virtual_time.run(scenario())


async def test_the_last_call_is_on_the_wide_thread_after_all_that_others_are_at() -> None:
    tokenizer, wide, narrow = (ThreadExecutor(name) for name in ("tokenizer", "wide", "narrow"))
    gate, begun, ended = threading.Event(), threading.Event(), threading.Event()
    seen: list[str] = []

    def busy() -> None:
        begun.set()
        gate.wait(20)
        seen.append("narrow")

    def last() -> None:
        seen.append(threading.current_thread().name)
        ended.set()

    running = asyncio.create_task(narrow.run(busy))
    await asyncio.to_thread(begun.wait, 20)
    Executors(tokenizer, wide, [narrow]).close(last)
    assert seen == []
    gate.set()
    await running
    assert await asyncio.to_thread(ended.wait, 20)
    assert seen == ["narrow", "wide"]
    wide.join()
