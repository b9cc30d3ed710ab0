"""The filtered list as a file, a page of rows at a time, whatever its length."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from inference.request_log.export import FORMATS, Export


def response(request: HttpRequest, export: Export, form: str) -> StreamingHttpResponse:
    """``form`` is one of ``FORMATS``."""
    name = f"requests-{datetime.now(UTC):%Y-%m-%d}.{form}"
    return StreamingHttpResponse(
        _pages_off_the_loop(export) if isinstance(request, ASGIRequest) else _pages(export),
        content_type=FORMATS[form],
        headers={"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"},
    )


def _pages(export: Export) -> Iterator[str]:
    yield export.first()
    yield from export.pages()


async def _pages_off_the_loop(export: Export) -> AsyncIterator[str]:
    yield export.first()
    page, last = await sync_to_async(export.page)()
    while page:
        yield page
        page, last = await sync_to_async(export.page)(last)
