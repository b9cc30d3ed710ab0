"""Django views: only the admin. What serves inference are consumers (``inference.api.routing``)."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import path

from inference.api.dialects.native import http
from inference.errors import NotFound
from inference.serving.service import Request


def unknown_path(request: HttpRequest, exception: Any = None) -> HttpResponse:
    """404 as the model's other errors look; a page of your own may take its place."""
    error = NotFound("There is nothing at this path; the model answers POST /.")
    made = Request(transport="http", client=None)
    headers = {name.decode(): value.decode() for name, value in http.write_headers(made.id, made.times())}
    return HttpResponse(http.write_error(error), status=error.status, headers=headers)


handler404 = unknown_path
urlpatterns = [path("admin/", admin.site.urls)]
