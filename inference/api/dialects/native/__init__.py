"""Runs in web processes: the dialect of ``/`` and ``/ws/``.

In: plain text, the JSON of Hugging Face's Inference API, or our own WebSocket frames. Out: the pipeline's answer as
JSON, server-sent events or frames.
"""

from collections.abc import Callable, Mapping

from inference.api.dialects.base import Endpoint, Reply, Resource, Socket
from inference.api.dialects.native.answers import write_error, write_headers
from inference.api.dialects.native.docs import ERROR
from inference.api.dialects.native.frames import NativeSocket
from inference.api.dialects.native.http import NativeEndpoint
from inference.errors import InferenceError
from inference.serving.context import RequestContext
from inference.serving.result import Times


class NativeDialect:
    name = "native"
    prefixes = ("/",)
    endpoints: tuple[Endpoint, ...] = (NativeEndpoint(),)
    resources: tuple[Resource, ...] = ()
    sockets: Mapping[str, Callable[[], Socket]] = {"/ws/": NativeSocket}
    error_schema = ERROR

    def error(self, context: RequestContext, error: InferenceError) -> Reply:
        times = Times(total_ms=context.elapsed_ms())
        return Reply(error.status, write_headers(context.id, times, error), write_error(error))


DIALECT = NativeDialect()
