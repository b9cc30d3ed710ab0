"""Loads a Hugging Face pipeline, checks it and warms it up.

Only this package imports torch and transformers, and only inside ``load``, which runs on a thread of its own.
"""

import gc
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from inference.backends.base import BatchedPipeline, LoadFailed, Turn, at_once
from inference.backends.transformers import compat
from inference.conf import Conf
from inference.messaging.messages import Description

__all__ = ["LoadFailed", "load"]

logger = logging.getLogger(__name__)

SWITCH_INTERVAL_S = 0.0005


def load(conf: Conf, report: Callable[[str], None], turn: Turn = at_once) -> BatchedPipeline:
    """Load and warm up; ``report`` is called with progress.

    Raises:
        LoadFailed: one sentence that says what was tried, what went wrong and what to do.
    """
    started = time.monotonic()
    _set_up_process()
    report("importing torch and transformers")
    try:
        _import_libraries()
        compat.check(compat.PIPELINES)
    except compat.Missing as error:
        raise LoadFailed(str(error)) from error
    from inference.backends.transformers import memory
    from inference.backends.transformers.description import resident_mb
    from inference.backends.transformers.linear_layers import check_quantized
    from inference.backends.transformers.loading import load_pipeline
    from inference.backends.transformers.selection import select_pipeline
    from inference.backends.transformers.warm_up import measure

    loaded = load_pipeline(conf, report, turn)
    report("warming up")
    try:
        pipeline = select_pipeline(loaded, conf, report)
        check_quantized(loaded)
        pipeline.warm_up_costs = measure(pipeline, turn)
    except LoadFailed:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or repr(error)
        raise LoadFailed(
            f"{loaded.name} loads, but cannot answer its warm-up input on {loaded.device} ({reason})."
        ) from error
    memory.give_back()
    pipeline.description = msgspec.structs.replace(pipeline.description, memory_mb=resident_mb())
    report(f"ready after {time.monotonic() - started:.1f} s: {_summary(pipeline.description)}")
    return pipeline


def _summary(d: Description) -> str:
    model = f"{d.model} at {d.revision}" if d.revision else d.model
    return f"{d.task} with {model}, {d.device}, {d.dtype}, {d.threads} threads, {d.memory_mb} MB resident"


def _set_up_process() -> None:
    """Before torch is imported."""
    # How OpenMP's threads wait for each other. By spinning, they turn 15 ms into 490 ms as soon as anything else uses
    # a core; asleep, waking them costs 5 ms per batch. A short spin costs neither; docs/performance.md has figures.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # Between two operators the model's thread takes the interpreter back from the event loop: not after 5 ms.
    sys.setswitchinterval(SWITCH_INTERVAL_S)


@cache
def _import_libraries() -> None:
    """Once, before any model is loaded; raises ``compat.Missing``.

    Objects of modules live as long as the process. Collections while they are made find little and take a quarter
    of the time (a last one a tenth, for 6 MB); later, a full one that walks them stalls the event loop for 50 ms. So
    there are none, and all objects so far are exempt from collection. Models stay collectable: they go when their
    pipeline is closed.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        _import_models_of_transformers()
        compat.check(compat.PIPELINES)
        import_module("inference.backends.transformers.selection")
        gc.freeze()
    finally:
        if collects:
            gc.enable()


def _import_models_of_transformers() -> None:
    """``transformers`` and ``transformers.models`` both read all of the latter's files, to find what they define."""
    with suppress(ImportError, AttributeError):  # what is needed is checked afterwards
        transformers = import_module("transformers")
        if "transformers.models" in sys.modules:
            return
        utils: Any = import_module("transformers.utils.import_utils")
        read = utils.create_import_structure_from_path
        structure = read(Path(str(transformers.__file__)).parent / "models")  # it has just been read
        utils.create_import_structure_from_path = lambda path: structure
        try:
            import_module("transformers.models")
        finally:
            utils.create_import_structure_from_path = read
