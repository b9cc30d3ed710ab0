"""Whether a browser is logged in as staff of the project: for pages that people read, never for inference."""

from importlib import import_module
from typing import Any

from channels.db import database_sync_to_async
from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user
from django.db import DatabaseError
from django.http import HttpRequest, parse_cookie

from inference.api.scope import header


async def is_staff(scope: dict[str, Any]) -> bool:
    """By the cookie of Django's session; without one, nothing is read from the database."""
    key = parse_cookie(header(scope, b"cookie")).get(settings.SESSION_COOKIE_NAME)
    if not key or not apps.is_installed("django.contrib.sessions") or not apps.is_installed("django.contrib.auth"):
        return False
    try:
        return await database_sync_to_async(_is_staff)(key)
    except DatabaseError:
        return False


def _is_staff(session_key: str) -> bool:
    request: Any = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)
    return user.is_active and bool(getattr(user, "is_staff", False))
