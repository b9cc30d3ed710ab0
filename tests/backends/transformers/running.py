"""Loads pipelines, runs jobs through them as a worker does, and compares answers."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inference.backends.base import BatchedPipeline
from inference.backends.transformers import backend
from inference.conf import Conf
from inference.errors import InferenceError
from inference.messaging.messages import Job
from tests.conftest import CLOSE

Asked = tuple[Any, dict[str, Any]]
"""An input and its parameters."""
Make = Callable[..., Path]
"""One of ``tests.tiny_models``."""


def load(folder: Path | str, **options: Any) -> BatchedPipeline:
    return backend.load(Conf(model=str(folder), **options), lambda progress: None)


def run(pipeline: BatchedPipeline, asked: Sequence[Asked]) -> list[Any]:
    prepared = pipeline.prepare(_jobs(asked))
    ran = iter(pipeline.run([item for item in prepared if not isinstance(item, InferenceError)]))
    outcomes = [item if isinstance(item, InferenceError) else next(ran) for item in prepared]
    return [json.loads(outcome) if isinstance(outcome, bytes) else outcome for outcome in outcomes]


def _jobs(asked: Sequence[Asked]) -> list[Job]:
    return [
        Job(id=number, request_id=f"request {number}", input=text, parameters=parameters, time_left_s=60)
        for number, (text, parameters) in enumerate(asked)
    ]


def counts(pipeline: BatchedPipeline, asked: Sequence[Asked]) -> list[tuple[int, bool]]:
    """How many tokens are read of each, and whether it is cut."""
    prepared: list[Any] = [*pipeline.prepare(_jobs(asked))]
    return [(item.input_tokens, item.truncated) for item in prepared]


def arrays(pipeline: BatchedPipeline, asked: Sequence[Asked]) -> list[Any]:
    """What ``run`` returns, of jobs that want arrays."""
    prepared = pipeline.prepare([msgspec.structs.replace(job, arrays=True) for job in _jobs(asked)])
    return [*pipeline.run(prepared)]


def direct(folder: Path, task: str) -> Any:
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    return transformers.pipeline(task, model=str(folder), dtype=torch.float32)


def plain(value: Any) -> Any:
    """As JSON has it."""
    return json.loads(json.dumps(value, default=lambda number: number.item()))


def assert_equal(answer: Any, expected: Any, path: str = "") -> None:
    """Alike in everything, numbers within ``CLOSE``."""
    assert type(answer) is type(expected), path
    if isinstance(expected, dict):
        assert answer.keys() == expected.keys(), path
        for key, value in expected.items():
            assert_equal(answer[key], value, f"{path}.{key}")
    elif isinstance(expected, list):
        assert len(answer) == len(expected), path
        for number, value in enumerate(expected):
            assert_equal(answer[number], value, f"{path}[{number}]")
    elif isinstance(expected, float):
        assert answer == pytest.approx(expected, abs=CLOSE), path
    else:
        assert answer == expected, path
