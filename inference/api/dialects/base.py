"""What a dialect provides: endpoints and resources over HTTP, sockets over WebSocket, and its form of an error.

The consumers of ``inference.api`` call these on the event loop, so nothing here may block.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

from inference.access.principal import ANYONE, Principal
from inference.api.dialects.doc import Doc
from inference.errors import InferenceError
from inference.messaging.messages import Started, Token
from inference.serving.context import RequestContext
from inference.serving.deployment import Deployment
from inference.serving.generation_result import GenerationResult
from inference.serving.query import Query
from inference.serving.result import RequestResult, Served
from inference.tasks.base import Task
from inference.tasks.schemas import Schema

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Head:
    """The head of an HTTP request."""

    method: str
    path: str
    """That of the endpoint or resource, with names in braces."""
    header: Callable[[bytes], str]
    """The first header of a (lower-case) name, or an empty text."""
    arguments: Mapping[str, str] = field(default_factory=dict)
    """What the names in braces stand for."""
    query: str = ""
    """The part of the URL after the question mark, encoded."""
    pipeline: str | None = None
    """Name of the pipeline that the path means; ``None`` where the body says it."""
    principal: Principal = ANYONE
    """Who asks. The deployment that a dialect is given has the pipelines that this caller may use, and no others."""


class Reply(NamedTuple):
    """An HTTP answer. ``content-length``, ``traceparent`` and security headers are added to it."""

    status: int
    headers: Headers
    body: bytes


class Writer(Protocol):
    """Writes one streamed answer, event by event. Empty bytes are no event."""

    headers: Headers

    def token(self, token: Token, generation: GenerationResult) -> bytes:
        """A token of one of its texts, the last one of that text excepted."""
        ...

    def finished(self, generation: GenerationResult) -> bytes:
        """One of its texts is complete, with its last token."""
        ...

    def end(self, result: RequestResult) -> bytes:
        """All texts are complete: whatever ends the stream."""
        ...

    def error(self, error: InferenceError) -> bytes:
        """The end of a stream that fails after its headers were sent."""
        ...


class Endpoint(Protocol):
    """One method at one path, which runs a pipeline.

    ``{pipeline}`` in the path stands for the name or an alias of one, other names in braces for one segment each.
    Below ``/pipelines/{name}`` each endpoint is that of one pipeline.
    """

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def pipeline_in_body(self) -> bool:
        """Where the path names no pipeline, the query may; otherwise it is the default one."""
        ...

    @property
    def deadline_header(self) -> bytes:
        """Name, in lower case, of the header with the request's own deadline; empty if there is none."""
        ...

    def deadline_s(self, given: str, longest_s: float) -> float | None:
        """The deadline that the header's value asks for; ``None`` for an empty one. Raises ``Invalid``."""
        ...

    def read(self, head: Head, body: bytes, deployment: Deployment) -> Query:
        """What the request asks. What depends on the task that is served goes into the query's ``adapt``.

        Raises:
            Malformed, EmptyInput, Invalid, NotFound, UnsupportedMediaType: what is wrong, in one sentence.
        """
        ...

    def reply(self, context: RequestContext, result: RequestResult) -> Reply: ...

    def writer(self, context: RequestContext, query: Query) -> Writer:
        """For a query with ``stream``, as it was read."""
        ...

    def doc(self, task: Task | None) -> Doc | None:
        """For the OpenAPI document; ``None`` if there is nothing for pipelines of this task.

        Args:
            task: ``None`` for what holds for pipelines of any task that it serves.
        """
        ...


@runtime_checkable
class ReadAside(Protocol):
    """An ``Endpoint`` whose ``read`` takes a while for large bodies: it is called on another thread for those."""

    @property
    def aside_from(self) -> int:
        """Bytes."""
        ...


@runtime_checkable
class Probe(Protocol):
    """A ``Resource`` that probes read, without a key if ``for_probes``; ``Head.principal`` may be ``NOBODY`` then."""

    @property
    def for_probes(self) -> bool: ...


class Resource(Protocol):
    """A path that is answered at once, without a pipeline's work. Its body is not read."""

    @property
    def methods(self) -> tuple[str, ...]:
        """``HEAD`` is answered wherever ``GET`` is."""
        ...

    @property
    def path(self) -> str:
        """Like that of an ``Endpoint``."""
        ...

    def answer(self, head: Head, deployment: Deployment) -> Reply:
        """Raises an ``InferenceError``."""
        ...

    def doc(self, task: Task | None) -> Doc | None:
        """As ``Endpoint.doc``."""
        ...


@dataclass(frozen=True, slots=True)
class Start:
    """A frame that begins a request under the client's id."""

    id: str
    read: Callable[[], Query]
    """Raises as ``Endpoint.read``."""
    traceparent: object = None
    lane: str | None = None
    """Requests of one lane are answered one after the other; each is read when its turn comes."""


@dataclass(frozen=True, slots=True)
class Cancel:
    id: str


@dataclass(frozen=True, slots=True)
class Say:
    """The answer to a frame that needs no pipeline's work, such as a ping."""

    frames: Sequence[str]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A frame that cannot be read; ``id`` is that of its request where it has one."""

    id: str | None
    error: InferenceError


class SocketWriter(Protocol):
    """Writes the frames of one request."""

    def accepted(self, served: Served) -> Iterable[str]: ...
    def started(self, event: Started) -> Iterable[str]: ...
    def token(self, token: Token, generation: GenerationResult) -> Iterable[str]:
        """The last one of a text is in the result."""
        ...

    def end(self, result: RequestResult) -> Iterable[str]: ...
    def error(self, error: InferenceError) -> str: ...

    def cancelled(self, query: Query | None, generation: GenerationResult | None) -> str:
        """The last frame of a request that its client cancelled; ``generation`` if tokens of it were sent."""
        ...


class Socket(Protocol):
    """One WebSocket connection."""

    def receive(self, frame: str, deployment: Deployment, pipeline: str | None) -> Start | Cancel | Say | Rejected:
        """``pipeline`` is the name of the one that the path means; ``None`` where the frame says it."""
        ...

    def writer(self, client_id: str, context: RequestContext) -> SocketWriter: ...

    def error(self, client_id: str | None, context: RequestContext, error: InferenceError) -> str:
        """A frame for an error outside any request that is open."""
        ...


class Dialect(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def prefixes(self) -> Sequence[str]:
        """Of paths whose errors this dialect writes, also where nothing is found; the longest one of all counts.

        Each ends with a slash, which may be missing in the path: ``/embed/`` is for ``/embed``, not for ``/embedded``.
        """
        ...

    @property
    def endpoints(self) -> Sequence[Endpoint]: ...
    @property
    def resources(self) -> Sequence[Resource]: ...
    @property
    def sockets(self) -> Mapping[str, Callable[[], Socket]]:
        """By path."""
        ...

    def error(self, context: RequestContext, error: InferenceError) -> Reply: ...

    @property
    def error_schema(self) -> Schema:
        """Of the bodies of ``error``."""
        ...
