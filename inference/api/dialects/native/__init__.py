"""The dialect of ``/`` and ``/ws/``: plain text, the JSON of Hugging Face's Inference API, our own WebSocket frames."""

from collections.abc import Callable, Mapping

from inference.api.dialects.base import Endpoint, Reply, Socket
from inference.api.dialects.native.frames import NativeSocket
from inference.api.dialects.native.http import NativeEndpoint, write_error, write_headers
from inference.errors import InferenceError
from inference.serving.context import RequestContext
from inference.serving.result import Times


class NativeDialect:
    name = "native"
    prefixes = ("/",)
    endpoints: tuple[Endpoint, ...] = (NativeEndpoint(),)
    sockets: Mapping[str, Callable[[], Socket]] = {"/ws/": NativeSocket}

    def error(self, context: RequestContext, error: InferenceError) -> Reply:
        times = Times(total_ms=context.elapsed_ms())
        return Reply(error.status, write_headers(context.id, times, error), write_error(error))


DIALECT = NativeDialect()
