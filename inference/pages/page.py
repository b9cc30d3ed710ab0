"""What the pages have in common: HTML, for callers with a key and for staff that is logged in."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse

from inference.access.checking import Caller
from inference.access.principal import ANYONE
from inference.api.dialects.base import Reply
from inference.api.http import HttpConsumer
from inference.api.scope import header
from inference.api.staff import is_staff
from inference.errors import Unauthorized
from inference.pages import assets

PAGE_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    b"media-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
NO_HOST = "localhost:8000"

Context = Mapping[str, Any]


class Page(HttpConsumer):
    async def admit(self, caller: Caller) -> None:
        """Browsers send no keys of their own, but cookies; they only show what can be read here."""
        if isinstance(caller, Unauthorized):
            if await is_staff(self.scope):
                caller = ANYONE
            elif self.scope.get("pipeline") is None and (admin := admin_path()):  # or it would tell that there is one
                caller = Unauthorized(f"{caller.message} Staff may log in at {admin} and read this page then.")
        await super().admit(caller)

    @property
    def root(self) -> str:
        """The path before those of ours."""
        root: str = self.scope.get("root_path", "")
        return root

    @property
    def url(self) -> str:
        """As the browser has it, without a slash at its end."""
        host = header(self.scope, b"host") or NO_HOST
        return f"{self.scope.get('scheme', 'http')}://{host}{self.root}"

    async def answer_page(self, template: str, context: Context | Callable[[], Context]) -> None:
        """Rendered on a thread of its own, and so is a context that takes long to make."""
        shared = {"root": self.root, "admin": admin_path(), "assets": self.root + assets.path()}

        def render() -> bytes:
            return render_to_string(template, {**shared, **(context() if callable(context) else context)}).encode()

        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", PAGE_POLICY)]
        if self.service.access.required:
            headers.append((b"cache-control", b"private, no-store"))
        await self.answer(Reply(200, headers, await asyncio.to_thread(render)))


def admin_path() -> str:
    """Path of the Django admin; empty in a project that has none."""
    try:
        return reverse("admin:index")
    except NoReverseMatch:
        return ""
