"""``handler404`` for a project whose other paths are Django's."""

from django.http import HttpRequest, HttpResponse

from inference.api.dialects import registry
from inference.api.http import NOTHING_HERE
from inference.api.scope import Transport
from inference.errors import NotFound
from inference.serving.context import RequestContext


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """404 in the dialect of the path; a page of your own may take its place."""
    error = NotFound(NOTHING_HERE)
    reply = registry.of_path(request.path_info).error(RequestContext(transport=Transport.HTTP), error)
    headers = {name.decode(): value.decode() for name, value in reply.headers}
    return HttpResponse(reply.body, status=reply.status, headers=headers)
