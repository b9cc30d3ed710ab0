"""A worker whose model does what some inputs tell it: the faults that cannot be made from outside.

``python -m tests.soak.faulty_worker`` is ``manage.py runworker inference`` with this module as its backend, around the
one that ``INFERENCE_BACKEND`` names.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from inference.backends.base import BatchedPipeline, LoadFailed, Outcome, Turn, at_once
from inference.backends.loading import load as load_pipeline
from inference.backends.transformers import backend
from inference.conf import Conf
from inference.messaging.messages import Job
from manage import main

POISON, HANG, BAD = "poison", "endless", "rotten"
"""Words that end the process, hold the model for ever, and fail the batch they are in."""
TANGLED, SLOW = "tangled", "sluggish"
"""Words that hold the tokenizer for ever, and for ``SLOW_S``."""
SLOW_S = 2.0
TORN = "acme/torn"
"""The model that cannot be loaded."""
AROUND = "TESTS_FAULTY_BACKEND"


class FaultyPipeline:
    """The real pipeline, except where the input has one of the words."""

    def __init__(self, pipeline: BatchedPipeline) -> None:
        self._pipeline = pipeline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def prepare(self, jobs: Sequence[Job]) -> Any:
        words = {word for job in jobs for word in str(job.input).split()}
        if TANGLED in words:
            threading.Event().wait()
        if SLOW in words:
            time.sleep(SLOW_S)
        return self._pipeline.prepare(jobs)

    def run(self, batch: Sequence[Any]) -> list[Outcome]:
        words = {word for prepared in batch for word in str(prepared.job.input).split()}
        if POISON in words:
            os.kill(os.getpid(), signal.SIGKILL)
        if HANG in words:
            threading.Event().wait()
        if BAD in words:
            raise RuntimeError(f"this batch of {len(batch)} has a {BAD} input")
        return self._pipeline.run(batch)


def load(conf: Conf, report: Callable[[str], None], turn: Turn = at_once) -> Any:
    """Raises ``LoadFailed`` if the model is ``TORN``."""
    if conf.model == TORN:
        raise LoadFailed(f"The weights of {TORN} are torn.")
    pipeline: Any = load_pipeline(replace(conf, backend=os.environ[AROUND]), report, turn)
    return FaultyPipeline(pipeline)


if __name__ == "__main__":
    os.environ[AROUND] = os.environ.get("INFERENCE_BACKEND") or backend.__name__
    os.environ["INFERENCE_BACKEND"] = "tests.soak.faulty_worker"
    main(["manage.py", "runworker", "inference"])
