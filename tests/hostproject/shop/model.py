"""In place of a real model: answers after a second to what is called slow."""

import time
from collections.abc import Callable
from typing import Any

from inference.backends.base import Turn, at_once
from inference.conf import Conf
from inference.testing import FakePipeline
from inference.testing.backend import FakeBatchedPipeline

SLOW_S = 1.0


def load(conf: Conf, report: Callable[[str], None], turn: Turn = at_once) -> FakeBatchedPipeline:
    pipeline = FakePipeline("fill-mask")
    at_once: Any = pipeline.answer

    def answer(text: str, parameters: dict[str, Any]) -> Any:
        time.sleep(SLOW_S if "slow" in text else 0)
        return at_once(text, parameters)

    pipeline.answer = answer
    return FakeBatchedPipeline(pipeline)
