"""``wrap``, which the project's ``asgi.py`` calls. May be imported before Django is set up."""

from collections.abc import Awaitable, Callable
from typing import Any

from inference import conf
from inference.apps import require

Application = Callable[[Any, Any, Any], Awaitable[None]]


def wrap(application: Application, prefix: str = "") -> Application:
    """Serve inference below ``prefix``, and ``application`` everywhere else.

    Without a prefix, ours are ``/``, ``/ws/``, ``/health/…``, ``/metrics``, ``/openapi.json``, ``/docs`` and the paths
    of the dialects; every other HTTP request is for ``application``. The web process starts with the server: through
    Daphne's reactor, through ASGI's lifespan where a server has one, and with the first connection wherever neither
    exists. ``application`` gets the lifespan as well, if it has one.

    Args:
        application: the project's complete ASGI application, of ``get_asgi_application()`` for example.
        prefix: such as ``/inference``; empty to serve at the root.

    Raises:
        ValueError: the prefix is not empty, and not like ``/inference``.
        ImproperlyConfigured: Django is not set up, ``inference`` is not in ``INSTALLED_APPS``, or a setting is wrong.
    """
    require()
    conf.current()
    from inference.application import InferenceApplication  # noqa: PLC0415 - imports models, for which apps must be loaded

    return InferenceApplication(application, prefix)
