"""Settings and urls of a project whose answers break off."""

import asyncio
from collections.abc import AsyncIterator

from django.http import HttpRequest, StreamingHttpResponse
from django.urls import path

from inferencesite.settings import *  # noqa: F403
from inferencesite.settings import INSTALLED_APPS as BEFORE

ROOT_URLCONF = "tests.unfinished"
INSTALLED_APPS = [*BEFORE, "tests.quick_log.QuickLog"]


async def _pieces(error: BaseException) -> AsyncIterator[str]:
    yield "a piece"
    raise error


async def fails(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(_pieces(ValueError("of this view")))


async def is_cancelled(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(_pieces(asyncio.CancelledError()))


async def has_a_length(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(_pieces(ValueError("of this view")), headers={"Content-Length": "100"})


urlpatterns = [path("fails", fails), path("is_cancelled", is_cancelled), path("has_a_length", has_a_length)]
