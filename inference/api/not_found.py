"""``handler404`` for a project whose other paths are Django's."""

from collections.abc import Callable
from functools import partial

from django.http import HttpRequest, HttpResponse

from inference import conf
from inference.api import cors
from inference.api.dialects import registry
from inference.api.dialects.base import Reply
from inference.api.http import NOTHING_HERE
from inference.api.scope import Transport
from inference.errors import NotFound
from inference.serving.context import RequestContext


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """404 in the dialect of the path; a page of your own may take its place. A preflight is answered."""
    origins, asked = conf.current().cors_origins, partial(_header, request)
    if request.method == "OPTIONS" and cors.is_preflight(origins, asked):
        wanted = asked(b"access-control-request-method").encode("latin-1")
        return _response(Reply(204, cors.preflight_headers(origins, asked, wanted), b""), asked)
    error = NotFound(NOTHING_HERE)
    reply = registry.of_path(request.path_info).error(RequestContext(transport=Transport.HTTP), error)
    return _response(reply, asked)


def _response(reply: Reply, header: Callable[[bytes], str]) -> HttpResponse:
    shared = cors.answer_headers(conf.current().cors_origins, header(b"origin"), reply.headers)
    headers = {name.decode(): value.decode("latin-1") for name, value in [*reply.headers, *shared]}
    return HttpResponse(reply.body, status=reply.status, headers=headers)


def _header(request: HttpRequest, name: bytes) -> str:
    return request.headers.get(name.decode(), "")
