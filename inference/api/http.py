"""The base of all HTTP consumers: what is checked before an answer, and what every answer has."""

from collections.abc import Iterable
from typing import Any, ClassVar

from channels.generic.http import AsyncHttpConsumer

from inference import conf
from inference.access import credentials
from inference.access.checking import Caller
from inference.access.principal import NO_LIMITS, NOBODY, Principal
from inference.api import cors
from inference.api.body import Disconnected, Receive
from inference.api.dialects import registry
from inference.api.dialects.base import Head, Headers, Reply
from inference.api.dialects.openai import DIALECT as OPENAI
from inference.api.error_reply import error_reply
from inference.api.hosts import allowed_host, allowed_origin
from inference.api.limit_headers import limit_headers
from inference.api.rights import asked_pipeline, check_route
from inference.api.scope import header, http_context, local_path, peer
from inference.errors import Forbidden, InferenceError, Malformed, MethodNotAllowed, NotFound
from inference.serving.deployment import Deployment
from inference.serving.service import Service, no_pipeline

SAFE_METHODS = ("GET", "HEAD")
NOT_OUR_HOST = "This Host is not served here; see ALLOWED_HOSTS."


class HttpConsumer(AsyncHttpConsumer):
    """Base of our HTTP consumers: one request, answered by ``respond``.

    It takes no channel of its own and reads its own events: ``AsyncHttpConsumer.handle`` runs inside a dispatch and so
    cannot see ``http.disconnect`` (https://github.com/django/channels/issues/1249).
    """

    channel_layer_alias = "none"
    methods: ClassVar[tuple[str, ...]] = SAFE_METHODS
    of_dialect: ClassVar[bool] = False
    """It answers for a dialect, which not every key may speak."""
    service: Service
    dialect = ""
    """Name of the one whose route this is."""
    deployment: Deployment
    """What the caller may use of it, once that is known."""

    async def __call__(self, scope: Any, receive: Receive, send: Any) -> None:
        self.scope, self.base_send, self.receive = scope, send, receive
        self.service = self.deployment = scope["service"]
        caller = self.identify(credentials.take(scope))
        self.context = http_context(scope, caller if isinstance(caller, Principal) else NOBODY, self.dialect)
        try:
            self.check_host()
            if not self.is_for_everybody():
                await self.admit(caller)
            self.check()
            if self.is_about_options():
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

    def check_host(self) -> None:
        """Raises ``Malformed`` for a host that is not ours."""
        if not self.allowed_host():
            raise Malformed(NOT_OUR_HOST)

    def check(self) -> None:
        """Raises ``MethodNotAllowed``, ``Forbidden``. Each path has ``OPTIONS``."""
        method, allowed = self.scope["method"], self.allowed_methods()
        if method not in allowed and method != "OPTIONS":
            raise MethodNotAllowed(f"{method} is not allowed here; use {', '.join(allowed)}.")
        if method not in SAFE_METHODS and not allowed_origin(self.scope):
            raise Forbidden("A page of this Origin may not ask here; see ALLOWED_HOSTS and INFERENCE_CORS_ORIGINS.")

    def identify(self, offered: credentials.Keys) -> Caller:
        """Who asks, or why that is not known. The scope does not have the keys any more."""
        return self.service.access.caller(offered, self.address)

    def identify_probe(self, offered: credentials.Keys) -> Caller:
        """As ``identify``, for what probes ask of the whole process without a key."""
        anonymous = self.service.access.required and not offered and self.scope.get("pipeline") is None
        return NOBODY if anonymous else self.service.access.caller(offered, self.address)

    def address(self) -> str:
        return peer(self.scope).owner

    async def admit(self, caller: Caller) -> None:
        """Checked before the body is read; a refusal is logged.

        Raises:
            Unauthorized, LimitReached, Loading: who asks is not known.
            Forbidden, NotFound: the key is not for this.
        """
        try:
            if isinstance(caller, InferenceError):
                raise caller
            if caller is not NOBODY:
                self._check_rights(caller)
        except InferenceError as error:
            self.service.refused(self.context, error)
            raise

    def _check_rights(self, principal: Principal) -> None:
        self.deployment = self.service.seen_by(principal)
        pipeline = self.scope.get("pipeline")
        if pipeline is not None and not principal.may_use(pipeline):  # first, as where there is none of that name
            raise NotFound(no_pipeline(self.deployment.catalog, asked_pipeline(self.scope)))
        if self.of_dialect:
            check_route(principal, self.scope)

    def is_about_options(self) -> bool:
        return bool(self.scope["method"] == "OPTIONS")

    def is_for_everybody(self) -> bool:
        """Browsers send no keys with preflights. By other ``OPTIONS``, one could find out which pipelines there are."""
        names_pipeline = self.service.access.required and self.scope.get("pipeline")
        return self.is_about_options() and (self.is_preflight() or not names_pipeline)

    def is_preflight(self) -> bool:
        return cors.is_preflight(conf.current().cors_origins, self.header)

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
        named = self.service.access.required and self.scope.get("pipeline")
        asked = self.header(b"access-control-request-method")  # the answer where there is no pipeline of that name
        methods = asked.encode("latin-1") if named and asked else ", ".join(self.allowed_methods()).encode()
        return [(b"allow", methods), *cors.preflight_headers(conf.current().cors_origins, self.header, methods)]

    async def send_headers(self, *, status: int = 200, headers: Iterable[tuple[bytes, bytes]] | None = None) -> None:
        """Of each answer here, also of streams."""
        own = [*(headers or ()), *self._limit_headers()]
        shared = cors.answer_headers(conf.current().cors_origins, self.header(b"origin"), own)
        await super().send_headers(status=status, headers=[*own, *shared])

    def _limit_headers(self) -> Headers:
        principal = self.context.principal
        if principal.limits == NO_LIMITS:
            return []
        openai = registry.of_path(local_path(self.scope)) is OPENAI
        return limit_headers(self.service.limits.states(principal), openai=openai)

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
            principal=self.context.principal,
        )

    async def answer(self, reply: Reply) -> None:
        """The whole answer; ``HEAD`` gets its headers only."""
        body = b"" if self.scope["method"] == "HEAD" else reply.body
        length = (b"content-length", b"%d" % len(reply.body))
        await self.send_response(reply.status, body, headers=[*reply.headers, *self.trace_headers(), length])
