"""Early refusal: under overload, requests are refused as bytes, without Twisted's parser and without the application.

Parsing a request and answering it in Daphne costs several times as much as deciding that there is no room. Clients that
ask again after each refusal would fill the event loop, and admitted requests would be answered too late. So a refusal
is made cheap, and all of them together get a bounded share of the loop's time: beyond it, requests wait for theirs.

Where callers need keys, those without one are refused here first, whether or not there is room: they are told nothing
else, and a flood of them gets the same share of the loop. Nobody is let in here: the application checks again.
"""

import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from twisted.web.http import RESPONSES

from inference import catalog
from inference.access.checking import Caller
from inference.access.principal import NOBODY, Principal
from inference.api.dialects import registry
from inference.api.dialects.base import Dialect, Endpoint
from inference.api.paths import filled, without_slash
from inference.api.scope import PIPELINES
from inference.errors import Draining
from inference.models import InferenceRequest
from inference.server import mount, refusals

SHARE_OF_LOOP = 0.25
"""CPU time of one core that refusals may take."""
BURST_S = 0.05
"""Of that CPU time, saved up while there is nothing to refuse."""
MOST_S = 0.001
"""Most that a single one counts: a garbage collection during it would stop all refusals for a while."""
READ_AND_WRITE = 2.0
"""Cost of a refusal in multiples of what is measured here; the rest is Twisted's reading and writing."""
LOOK_EVERY_S = 0.01

LONGEST_LINE = 4096
PIPELINE_IN_LINE = PIPELINES.encode()
LARGEST = 65_536
"""Bytes of a request that may be refused here."""
NOT_PLAIN = re.compile(rb"\r\n(?:transfer-encoding:|expect:|upgrade:|connection:[ \t]*close)")


class RequestHead(NamedTuple):
    """What a refusal needs of a request's head; header values as the consumers read them."""

    dialect: Dialect
    endpoint: Endpoint
    pipeline: str | None
    """Its name, by the path; ``None`` where the body says it."""
    missing: int
    """Bytes of the body that have not come yet."""
    deadline: str
    request_id: str
    traceparent: str
    forwarded_for: str
    lines: bytes
    """All headers; those that only a refusal needs are looked up then."""
    named: bool
    """The path names the pipeline."""

    def header(self, name: bytes) -> str:
        """The first header of a (lower-case) name, or an empty text."""
        return _value(self.lines, self.lines.lower(), name)


@cache
def _endpoints() -> dict[bytes, tuple[Dialect, Endpoint, str | None]]:
    """By request line, with the name of the pipeline; at the root and below each pipeline."""
    return {
        f"{endpoint.method} {mount.public_path(path)} HTTP/1.1".encode(): (dialect, endpoint, pipeline)
        for dialect, endpoint in registry.endpoints()
        for path, pipeline in _paths_of(endpoint)
    }


def _paths_of(endpoint: Endpoint) -> Iterator[tuple[str, str | None]]:
    """All paths without other names in them, each with its pipeline."""
    pipelines = catalog.current()
    names = [(called, spec.name) for spec in pipelines for called in spec.called]
    if not filled(endpoint.path, "").count("{"):
        named = filled(endpoint.path, "") != endpoint.path
        default = None if endpoint.pipeline_in_body else pipelines.default.name
        yield from ((filled(endpoint.path, c), n) for c, n in names) if named else ((endpoint.path, default),)
        for called, name in names:
            below = PIPELINES + called + filled(endpoint.path, called)
            yield below, name
            if endpoint.path == "/":
                yield without_slash(below), name


def read(data: bytes, *, most_body_bytes: int, forwarded_for: str = "") -> RequestHead | None:
    """The head of one plain request to an endpoint; ``None`` for anything else, which Twisted has to read.

    Args:
        data: what was received on a connection between two requests.
        forwarded_for: name of the header in which a proxy gives the client's address, if there is a proxy.
    """
    line = data.find(b"\r\n", 0, LONGEST_LINE)
    found = _endpoints().get(data[:line]) if line > 0 else None
    end = data.find(b"\r\n\r\n", 0, LARGEST)
    if end < 0 or found is None:
        return None
    dialect, endpoint, pipeline = found
    head = data[line : end + 2]
    lower = head.lower()
    length = _value(head, lower, b"content-length")
    if not (length.isascii() and length.isdecimal()) or NOT_PLAIN.search(lower):
        return None
    size, missing = int(length), int(length) - (len(data) - end - 4)
    if missing < 0 or size > min(LARGEST, most_body_bytes):
        return None
    return RequestHead(
        dialect,
        endpoint,
        pipeline,
        missing,
        _value(head, lower, endpoint.deadline_header),
        _value(head, lower, b"x-request-id"),
        _value(head, lower, b"traceparent"),
        _value(head, lower, forwarded_for.lower().encode()),
        head,
        PIPELINE_IN_LINE in data[:line] or "{" in endpoint.path,
    )


def header(data: bytes, name: bytes) -> str:
    """The first header of a (lower-case) name in a request that may be incomplete, or an empty text."""
    head = data.partition(b"\r\n\r\n")[0] + b"\r\n"
    return _value(head, head.lower(), name)


def _value(head: bytes, lower: bytes, name: bytes) -> str:
    """The first header of this name, or an empty text; also for an empty name. Bytes are decoded as Latin-1."""
    start = lower.find(b"\r\n%s:" % name) if name else -1
    if start < 0:
        return ""
    start += len(name) + 3
    return head[start : head.find(b"\r\n", start)].strip(b" \t").decode("latin-1")


class Budget:
    """CPU seconds that refusals may take: a share of the time that passes, and what was saved up. Pure."""

    def __init__(self, now: float) -> None:
        self._left_s = BURST_S
        self._at = now

    def left(self, now: float) -> bool:
        self._left_s = min(BURST_S, self._left_s + SHARE_OF_LOOP * (now - self._at))
        self._at = now
        return self._left_s > 0

    def spend(self, seconds: float) -> None:
        self._left_s -= seconds


class WaitingRequest(NamedTuple):
    """A request that is to be refused when there is time for it."""

    channel: Any
    data: bytes
    head: RequestHead
    since: float
    caller: Caller


class EarlyRefusal:
    """One per process.

    A ``channel`` is a ``http_connection.Connection``; ``call_later`` is the reactor's.
    """

    def __init__(self, call_later: Callable[..., Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._call_later = call_later
        self._clock = clock
        self._budget = Budget(clock())
        self._waiting: deque[WaitingRequest] = deque()

    def takes(self, channel: Any, data: bytes, head: RequestHead) -> bool:
        """Whether this complete request is refused: now, or when there is time for it."""
        began = time.thread_time()
        if head.named and not refusals.known(head.header):
            return False  # the application answers, as where there is no pipeline of that name
        client = channel.client_address(head.forwarded_for)
        caller = refusals.caller(client, head.header)
        if isinstance(caller, Principal) and not self._overloaded(client, head, caller):
            return False
        now = self._clock()
        waiting = WaitingRequest(channel, data, head, now, caller)
        if not self._waiting and self._budget.left(now):
            return self._refuse(waiting, 0.0, began)
        channel.waiting = True
        self._waiting.append(waiting)
        if len(self._waiting) == 1:
            self._call_later(LOOK_EVERY_S, self._look)
        return True

    def _overloaded(self, client: refusals.Client, head: RequestHead, caller: Principal) -> bool:
        """Whether it is refused for load alone."""
        if not caller.may_speak(head.dialect.name):
            return False
        return refusals.would_refuse(client, head.endpoint, head.deadline, head.pipeline, caller)

    def _look(self) -> None:
        """Those that have waited longest, as far as there is time. A process that stops refuses all of them."""
        try:
            while self._waiting and (self._budget.left(self._clock()) or refusals.draining()):
                self._end_wait(self._waiting.popleft())
        finally:  # whatever one of them raises, the others do not wait for ever
            if self._waiting:
                self._call_later(LOOK_EVERY_S, self._look)

    def _end_wait(self, waiting: WaitingRequest) -> None:
        began, channel = time.thread_time(), waiting.channel
        if channel.lost:
            return
        channel.waiting = False
        if not self._refuse(waiting, self._clock() - waiting.since, began):
            channel.parse(waiting.data)
        channel.resume()

    def _refuse(self, waiting: WaitingRequest, waited_s: float, began: float) -> bool:
        """False if there is room by now."""
        channel, _, head, _, caller = waiting
        client = channel.client_address(head.forwarded_for)
        principal, error = (caller, None) if isinstance(caller, Principal) else (NOBODY, caller)
        if error is None:
            error = refusals.refusal_after(waited_s, client, head.endpoint, head.deadline, head.pipeline, principal)
        if error is None:
            return False
        close = isinstance(error, Draining)
        http = InferenceRequest.Transport.HTTP
        context = refusals.context_of(http, client[0], head.dialect, head.request_id, head.traceparent)
        context = replace(context, principal=principal)
        pipeline = "" if principal is NOBODY else head.pipeline or ""
        refused = refusals.RefusedRequest(head.dialect, pipeline, head.header)
        reply = refusals.refuse(refused, context, error, close=close)
        status = b"HTTP/1.1 %d %s" % (reply.status, RESPONSES.get(reply.status, b""))
        channel.answer(
            b"\r\n".join([status, *(b"%s: %s" % header for header in reply.headers), b"", reply.body]), close=close
        )
        self._budget.spend(min(MOST_S, READ_AND_WRITE * (time.thread_time() - began)))
        return True
