"""The backend of servers whose answers do not matter: a fake pipeline for ``INFERENCE_TASK``, ready in a second."""

import os
from collections.abc import Callable
from typing import Any

from inference.backends.base import LoadFailed, Turn, at_once
from inference.conf import Conf
from inference.testing import FakePipeline
from inference.testing.backend import FakeBatchedPipeline, FakeSteppedPipeline

DELAY_S = "TESTS_DELAY_S"
"""The environment variable with the seconds that a batch takes."""
BROKEN, REASON = "broken", "The weights are torn."
"""The model that cannot be loaded, and why."""
MOST_CHARS = 1000
"""Of a text that is repeated: whoever uploads a long one can read the answer at once."""


def load(conf: Conf, report: Callable[[str], None], turn: Turn = at_once) -> FakeBatchedPipeline | FakeSteppedPipeline:
    """Each task is a version of its own, and ``top_k`` makes answers as long as it says.

    Raises:
        LoadFailed: the model is ``BROKEN``.
    """
    if conf.model == BROKEN:
        raise LoadFailed(REASON)
    task = conf.task or "fill-mask"
    answer = filled if task == "fill-mask" else None
    fake = FakePipeline(task, answer, version=task, delay_s=float(os.environ.get(DELAY_S, 0)))
    report(f"ready: a fake pipeline for {task}")
    return FakeSteppedPipeline(fake) if fake.description.streams else FakeBatchedPipeline(fake)


def filled(text: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    words = (f"word{number}" for number in range(parameters.get("top_k", 5)))
    return [
        {"score": 0.01, "token": number, "token_str": word, "sequence": text[:MOST_CHARS].replace("[MASK]", word)}
        for number, word in enumerate(words)
    ]
