"""Whether a browser is logged in as staff of the project: for pages that people read, never for inference."""

from collections.abc import Collection
from importlib import import_module
from typing import Any

from channels.db import database_sync_to_async
from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user
from django.db import Error
from django.http import HttpRequest, parse_cookie

from inference.api.scope import header

Permissions = frozenset[str] | None
"""What a session may do, of what was asked; ``None`` if it is not that of active staff."""


async def is_staff(scope: dict[str, Any]) -> bool:
    """By the cookie of Django's session; without one, nothing is read from the database."""
    key = session_key(scope)
    if not key:
        return False
    try:
        return (await permissions_of([key], ()))[key] is not None
    except Error:  # not only of the database: a connection that was closed is an ``InterfaceError``
        return False


def session_key(scope: dict[str, Any]) -> str:
    """Of the cookie; empty without one, and in a project without sessions or users."""
    key = parse_cookie(header(scope, b"cookie")).get(settings.SESSION_COOKIE_NAME)
    if not apps.is_installed("django.contrib.sessions") or not apps.is_installed("django.contrib.auth"):
        return ""
    return key or ""


async def permissions_of(session_keys: Collection[str], names: Collection[str]) -> dict[str, Permissions]:
    """Which of the permissions with these names each session has now. Raises ``django.db.Error``."""
    found: dict[str, Permissions] = await database_sync_to_async(_permissions_of)(session_keys, names)
    return found


def _permissions_of(session_keys: Collection[str], names: Collection[str]) -> dict[str, Permissions]:
    return {key: _permissions(key, names) for key in session_keys}


def _permissions(session_key: str, names: Collection[str]) -> Permissions:
    request: Any = HttpRequest()
    request.session = _session(session_key)
    user = get_user(request)
    if not (user.is_active and getattr(user, "is_staff", False)):
        return None
    return frozenset(name for name in names if user.has_perm(name))


def _session(key: str) -> Any:
    """Only read: Django renews the key of one that was signed with a fallback of ``SECRET_KEY``, and who has the cookie
    would not be told."""
    session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    session.cycle_key = session.flush = lambda: None
    return session
