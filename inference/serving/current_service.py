"""The service of this process, for ``inference.server``, which sees no ASGI scope."""

from inference.serving.service import Service

_current: Service | None = None


def get() -> Service | None:
    """``None`` until the web process has started."""
    return _current


def use(service: Service | None) -> None:
    global _current
    _current = service
