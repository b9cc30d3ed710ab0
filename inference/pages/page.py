"""What the pages have in common: HTML, for callers with a key and for staff that is logged in."""

from django.urls import NoReverseMatch, reverse

from inference.access.checking import Caller
from inference.access.principal import ANYONE
from inference.api.dialects.base import Reply
from inference.api.http import HttpConsumer
from inference.api.staff import is_staff
from inference.errors import Unauthorized

PAGE_POLICY = b"default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'"


class Page(HttpConsumer):
    async def admit(self, caller: Caller) -> None:
        """Browsers send no keys of their own, but cookies; they only show what can be read here."""
        if isinstance(caller, Unauthorized):
            if await is_staff(self.scope):
                caller = ANYONE
            elif self.scope.get("pipeline") is None and (admin := admin_path()):  # or it would tell that there is one
                caller = Unauthorized(f"{caller.message} Staff may log in at {admin} and read this page then.")
        await super().admit(caller)

    async def answer_page(self, page: bytes) -> None:
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", PAGE_POLICY)]
        if self.service.access.required:
            headers.append((b"cache-control", b"private, no-store"))
        await self.answer(Reply(200, headers, page))


def admin_path() -> str:
    """Path of the Django admin; empty in a project that has none."""
    try:
        return reverse("admin:index")
    except NoReverseMatch:
        return ""
