"""Serve a Hugging Face pipeline to many clients at once.

Other Django code calls the model through ``infer`` and ``infer_sync``.
"""

from typing import Any


async def infer(inputs: Any, parameters: dict[str, Any] | None = None, deadline_s: float | None = None) -> Any:
    """See ``inference.lifecycle.infer``."""
    from inference import lifecycle  # noqa: PLC0415 - Django's apps must be loaded first

    return await lifecycle.infer(inputs, parameters, deadline_s)


def infer_sync(inputs: Any, parameters: dict[str, Any] | None = None, deadline_s: float | None = None) -> Any:
    """See ``inference.lifecycle.infer_sync``."""
    from inference import lifecycle  # noqa: PLC0415

    return lifecycle.infer_sync(inputs, parameters, deadline_s)
