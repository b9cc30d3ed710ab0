"""In place of a real model: for ``until NAME`` it waits until there is a file of that name."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inference.backends.base import Turn, at_once
from inference.conf import Conf
from inference.testing import FakePipeline
from inference.testing.backend import FakeBatchedPipeline


def load(conf: Conf, report: Callable[[str], None], turn: Turn = at_once) -> FakeBatchedPipeline:
    pipeline = FakePipeline("fill-mask")
    at_once: Any = pipeline.answer

    def answer(text: str, parameters: dict[str, Any]) -> Any:
        awaited = re.search(r"until (\S+)", text)
        while awaited and not Path(awaited[1]).exists():
            time.sleep(0.01)
        return at_once(text, parameters)

    pipeline.answer = answer
    return FakeBatchedPipeline(pipeline)
