"""The model side: load a Hugging Face pipeline, check it, warm it up, run batches.

Only this package imports torch and transformers, and only inside ``load``, which runs on the model's thread.
"""

import gc
import logging
import os
import time
from collections.abc import Callable

from inference.batcher import LoadedPipeline
from inference.conf import Conf
from inference.errors import InferenceError
from inference.messages import Job
from inference.pipelines.errors import LoadFailed
from inference.tasks import TASKS

__all__ = ["LoadFailed", "load"]

logger = logging.getLogger(__name__)


def load(conf: Conf, report: Callable[[str], None]) -> LoadedPipeline:
    """Load and warm up; ``report`` hears of progress.

    Raises:
        LoadFailed: one sentence that says what was tried, what went wrong and what to do.
    """
    started = time.monotonic()
    # Threads of OpenMP that wait by spinning turn 15 ms into 490 ms as soon as anything else uses a core.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    report("importing torch and transformers")
    from inference.pipelines.loading import load_pipeline
    from inference.pipelines.running import running

    loaded = load_pipeline(conf, report)
    report("warming up")
    pipeline = running(loaded, conf)
    _warm_up(pipeline)
    # A full collection walks every object of torch's modules and stalls the event loop for 50 ms; they never die.
    gc.collect()
    gc.freeze()
    d = pipeline.description
    model = f"{d.model} at {d.revision}" if d.revision else d.model
    report(
        f"ready after {time.monotonic() - started:.1f} s: {d.task} with {model}, "
        f"{d.device}, {d.dtype}, {d.threads} threads, {d.memory_mb} MB resident"
    )
    return pipeline


def _warm_up(pipeline: LoadedPipeline) -> None:
    """Run a few real inputs, so that the first client pays for nothing and a broken model is found now."""
    d = pipeline.description
    task = TASKS[d.task]
    text = task.example.replace("{mask}", d.mask_token)
    parameters = dict(task.example_parameters or {})
    if task.samples:
        parameters |= {"max_new_tokens": 2, "seed": 0}
    for size in (1, 4):
        jobs = [
            Job(id=n, request_id="warm-up", input=text, parameters=parameters, time_left_s=3600) for n in range(size)
        ]
        for outcome in pipeline.run(jobs):
            if isinstance(outcome, InferenceError):
                raise LoadFailed(f"The model {d.model} cannot answer its warm-up input {text!r}: {outcome.message}")
