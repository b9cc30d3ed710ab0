"""Loads a pipeline with the backend that the setting ``INFERENCE_BACKEND`` names."""

from collections.abc import Callable
from importlib import import_module
from inspect import signature

from inference.backends.base import BatchedPipeline, Load, LoadFailed, SteppedPipeline, Turn, at_once
from inference.conf import Conf


def load(conf: Conf, report: Callable[[str], None], turn: Turn = at_once) -> BatchedPipeline | SteppedPipeline:
    """Import the backend, which no other module imports, and call its ``load``.

    Raises:
        LoadFailed: there is no such backend, or it cannot serve the pipeline.
    """
    try:
        load_with_backend: Load = import_module(conf.backend).load
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise LoadFailed(
            f"INFERENCE_BACKEND is {conf.backend!r}, which is no backend ({error}); "
            "it must be the dotted path of a module with a function load(conf, report)."
        ) from error
    if "turn" not in signature(load_with_backend).parameters:  # it does not measure
        return load_with_backend(conf, report)
    return load_with_backend(conf, report, turn)
