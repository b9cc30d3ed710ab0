"""Serve a Hugging Face pipeline to many clients at once.

Other Django code calls the model through ``infer``, ``infer_sync`` and ``stream``, which are those of
``inference.python_api``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inference.python_api import infer, infer_sync, stream

__all__ = ["infer", "infer_sync", "stream"]


def __getattr__(name: str) -> Any:
    """Imported when it is used: Django's apps must be loaded before."""
    if name in __all__:
        return getattr(import_module("inference.python_api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
