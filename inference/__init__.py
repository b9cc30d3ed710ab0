"""Serve a Hugging Face pipeline to many clients at once.

Other Django code calls the model through ``infer``, ``infer_sync`` and ``stream``.
"""

from collections.abc import AsyncGenerator
from typing import Any


async def infer(inputs: Any, parameters: dict[str, Any] | None = None, deadline_s: float | None = None) -> Any:
    """See ``inference.python_api.infer``."""
    from inference import python_api  # noqa: PLC0415 - Django's apps must be loaded first

    return await python_api.infer(inputs, parameters, deadline_s)


def infer_sync(inputs: Any, parameters: dict[str, Any] | None = None, deadline_s: float | None = None) -> Any:
    """See ``inference.python_api.infer_sync``."""
    from inference import python_api  # noqa: PLC0415

    return python_api.infer_sync(inputs, parameters, deadline_s)


def stream(
    inputs: Any, parameters: dict[str, Any] | None = None, deadline_s: float | None = None
) -> AsyncGenerator[str]:
    """See ``inference.python_api.stream``."""
    from inference import python_api  # noqa: PLC0415

    return python_api.stream(inputs, parameters, deadline_s)
