"""HTTP consumers: the base of all, and those of paths where nothing is."""

from collections.abc import Iterable
from typing import Any, ClassVar

from channels.generic.http import AsyncHttpConsumer

from inference import conf
from inference.api import cors
from inference.api.body import Disconnected, Receive
from inference.api.dialects import registry
from inference.api.dialects.base import Head, Headers, Reply
from inference.api.error_reply import error_reply
from inference.api.hosts import allowed_host, allowed_origin
from inference.api.paths import PIPELINE
from inference.api.scope import PIPELINES, header, http_context, local_path, path_of
from inference.errors import Forbidden, InferenceError, Malformed, MethodNotAllowed, NotFound
from inference.serving.service import Service, no_pipeline

SAFE_METHODS = ("GET", "HEAD")
NOT_OUR_HOST = "This Host is not served here; see ALLOWED_HOSTS."
NOTHING_HERE = "There is nothing at this path; the page /docs lists what there is."


class HttpConsumer(AsyncHttpConsumer):
    """Base of our HTTP consumers: one request, answered by ``respond``.

    It takes no channel of its own and reads its own events: ``AsyncHttpConsumer.handle`` runs inside a dispatch and so
    cannot see ``http.disconnect`` (https://github.com/django/channels/issues/1249).
    """

    channel_layer_alias = "none"
    methods: ClassVar[tuple[str, ...]] = SAFE_METHODS
    service: Service
    dialect = ""
    """Name of the one whose route this is."""

    async def __call__(self, scope: Any, receive: Receive, send: Any) -> None:
        self.scope, self.base_send, self.receive = scope, send, receive
        self.service = scope["service"]
        self.context = http_context(scope, self.dialect)
        try:
            self.check()
            if scope["method"] == "OPTIONS":
                await self.send_response(204, b"", headers=self.options())
            else:
                await self.respond()
        except InferenceError as error:
            dialect, user_agent = registry.of_path(local_path(scope)), self.header(b"user-agent")
            reply = error_reply(dialect, self.context, error, user_agent)
            if isinstance(error, MethodNotAllowed):
                reply.headers.append((b"allow", ", ".join(self.allowed_methods()).encode()))
            await self.answer(reply)
        except Disconnected:
            return

    def check(self) -> None:
        """Raises ``Malformed`` for a host that is not ours, ``MethodNotAllowed``, ``Forbidden``.

        Each path has ``OPTIONS``.
        """
        method, allowed = self.scope["method"], self.allowed_methods()
        if not self.allowed_host():
            raise Malformed(NOT_OUR_HOST)
        if method not in allowed and method != "OPTIONS":
            raise MethodNotAllowed(f"{method} is not allowed here; use {', '.join(allowed)}.")
        if method not in SAFE_METHODS and not allowed_origin(self.scope):
            raise Forbidden("A page of this Origin may not ask here; see ALLOWED_HOSTS and INFERENCE_CORS_ORIGINS.")

    def allowed_methods(self) -> tuple[str, ...]:
        return self.methods

    def allowed_host(self) -> bool:
        return allowed_host(self.scope)

    def trace_headers(self) -> Headers:
        """For a client that traces: which span of its trace the request was."""
        return [(b"traceparent", self.context.traceparent.encode())] if self.context.traceparent else []

    def header(self, name: bytes) -> str:
        """The request's first header of a (lower-case) name, or an empty text."""
        return header(self.scope, name)

    def options(self) -> Headers:
        """Of the answer to ``OPTIONS``; where it is a browser's preflight, what the page may send."""
        methods = ", ".join(self.allowed_methods()).encode()
        return [(b"allow", methods), *cors.preflight_headers(conf.current().cors_origins, self.header, methods)]

    async def send_headers(self, *, status: int = 200, headers: Iterable[tuple[bytes, bytes]] | None = None) -> None:
        """Of each answer here, also of streams."""
        own = list(headers or ())
        shared = cors.answer_headers(conf.current().cors_origins, self.header(b"origin"), own)
        await super().send_headers(status=status, headers=[*own, *shared])

    async def respond(self) -> None:
        raise NotImplementedError

    def head(self, path: str, pipeline: str | None) -> Head:
        """What a dialect is told of this request; ``path`` is that of the endpoint or resource."""
        scope = self.scope
        return Head(
            method=scope["method"],
            path=path,
            header=lambda name: header(scope, name),
            arguments=scope.get("arguments") or {},
            query=scope.get("query_string", b"").decode("latin-1"),
            pipeline=pipeline,
        )

    async def answer(self, reply: Reply) -> None:
        """The whole answer; ``HEAD`` gets its headers only."""
        body = b"" if self.scope["method"] == "HEAD" else reply.body
        length = (b"content-length", b"%d" % len(reply.body))
        await self.send_response(reply.status, body, headers=[*reply.headers, *self.trace_headers(), length])


class NotFoundConsumer(HttpConsumer):
    """404 for every other path below the prefix. A preflight is answered, so that its page can read that."""

    def check(self) -> None:
        preflight = self.scope["method"] == "OPTIONS" and cors.is_preflight(conf.current().cors_origins, self.header)
        if not preflight:
            raise self.error()

    def allowed_methods(self) -> tuple[str, ...]:
        return (self.header(b"access-control-request-method"),)

    def error(self) -> InferenceError:
        return NotFound(NOTHING_HERE)


class UnknownPipelineConsumer(NotFoundConsumer):
    """404 for a path that names a pipeline which there is not."""

    def error(self) -> InferenceError:
        name = self.scope.get("arguments", {}).get(PIPELINE) or path_of(self.scope).removeprefix(PIPELINES)
        error = NotFound(no_pipeline(self.service.catalog, name))
        self.service.refused(self.context, error)
        return error
