"""``handler400`` and ``handler404`` for a project whose other paths are Django's."""

from collections.abc import Callable
from functools import partial

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.views import defaults

from inference import conf
from inference.api import cors
from inference.api.dialects import registry
from inference.api.dialects.base import Reply
from inference.api.http import NOT_OUR_HOST
from inference.api.not_found import NOTHING_HERE
from inference.api.scope import Transport
from inference.errors import InferenceError, Malformed, NotFound
from inference.serving.context import RequestContext

Header = Callable[[bytes], str]


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """For a host that is not served, in the dialect of the path; otherwise Django's own page."""
    if isinstance(exception, DisallowedHost):
        return _error(request, Malformed(NOT_OUR_HOST))
    return defaults.bad_request(request, exception)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """404 in the dialect of the path; a page of your own may take its place. A preflight is answered."""
    origins, header = conf.current().cors_origins, partial(_header, request)
    if request.method == "OPTIONS" and cors.is_preflight(origins, header):
        wanted = header(b"access-control-request-method").encode("latin-1")
        return _written(Reply(204, cors.preflight_headers(origins, header, wanted), b""), header)
    return _error(request, NotFound(NOTHING_HERE))


def _error(request: HttpRequest, error: InferenceError) -> HttpResponse:
    reply = registry.of_path(request.path_info).error(RequestContext(transport=Transport.HTTP), error)
    return _written(reply, partial(_header, request))


def _written(reply: Reply, header: Header) -> HttpResponse:
    shared = cors.answer_headers(conf.current().cors_origins, header(b"origin"), reply.headers)
    headers = {name.decode(): value.decode("latin-1") for name, value in [*reply.headers, *shared]}
    return HttpResponse(reply.body, status=reply.status, headers=headers)


def _header(request: HttpRequest, name: bytes) -> str:
    return request.headers.get(name.decode(), "")
