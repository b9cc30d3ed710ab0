"""Loads a pipeline with the backend that the setting ``INFERENCE_BACKEND`` names."""

from collections.abc import Callable
from importlib import import_module

from inference.backends.base import BatchedPipeline, LoadFailed, SteppedPipeline
from inference.conf import Conf


def load(conf: Conf, report: Callable[[str], None]) -> BatchedPipeline | SteppedPipeline:
    """Import the backend, which no other module imports, and call its ``load``.

    Raises:
        LoadFailed: there is no such backend, or it cannot serve the pipeline.
    """
    try:
        backend = import_module(conf.backend)
    except ImportError as error:
        raise LoadFailed(
            f"INFERENCE_BACKEND is {conf.backend!r}, which cannot be imported ({error}); "
            "it must be the dotted path of a module with a function load(conf, report)."
        ) from error
    pipeline: BatchedPipeline | SteppedPipeline = backend.load(conf, report)
    return pipeline
