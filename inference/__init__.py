"""Serve a Hugging Face pipeline to many clients at once.

Other Django code calls the model through ``infer``, ``infer_sync`` and ``stream``, which are those of
``inference.python_api``, and answers with what it streams through ``event_stream_response``, which is that of
``inference.event_stream``. They may be imported before Django is set up.
"""

from collections.abc import AsyncGenerator
from importlib import import_module
from typing import Any

from django.core.checks import CheckMessage, Error, register

__version__ = "0.2.0"


async def infer(
    inputs: Any,
    parameters: dict[str, Any] | None = None,
    deadline_s: float | None = None,
    pipeline: str | None = None,
) -> Any:
    """See ``inference.python_api.infer``."""
    return await _api().infer(inputs, parameters, deadline_s, pipeline)


def infer_sync(
    inputs: Any,
    parameters: dict[str, Any] | None = None,
    deadline_s: float | None = None,
    pipeline: str | None = None,
) -> Any:
    """See ``inference.python_api.infer_sync``."""
    return _api().infer_sync(inputs, parameters, deadline_s, pipeline)


def stream(
    inputs: Any,
    parameters: dict[str, Any] | None = None,
    deadline_s: float | None = None,
    pipeline: str | None = None,
) -> AsyncGenerator[str]:
    """See ``inference.python_api.stream``."""
    pieces: AsyncGenerator[str] = _api().stream(inputs, parameters, deadline_s, pipeline)
    return pieces


async def event_stream_response(pieces: AsyncGenerator[str]) -> Any:
    """See ``inference.event_stream.event_stream_response``."""
    return await import_module("inference.event_stream").event_stream_response(pieces)


def _api() -> Any:
    import_module("inference.apps").require()
    return import_module("inference.python_api")


@register("inference_project")
def check_installed(**_: Any) -> list[CheckMessage]:
    """Registered by the import, since an app that is not installed registers nothing."""
    apps = import_module("inference.apps")
    try:
        apps.require()
    except apps.ImproperlyConfigured as error:
        return [Error(str(error), id="inference.E015")]
    return []
