"""Early refusal: under overload, requests are refused as bytes, without Twisted's parser and without the application.

To parse a request and answer it in Daphne costs several times what it costs to decide that there is no room. Clients
that ask again after each refusal would fill the event loop, and what was admitted would be answered too late. So a
refusal is made cheap, and all of them together get a bounded share of the loop's time: beyond it, requests wait for
theirs.
"""

import re
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from inference.errors import Draining
from inference.models import InferenceRequest
from inference.server import refusals

SHARE_OF_LOOP = 0.25
"""CPU time of one core that refusals may take."""
BURST_S = 0.05
"""Of that CPU time, saved up while there is nothing to refuse."""
MOST_S = 0.001
"""What a single one may count: a garbage collection that happens meanwhile would stop all refusals for a while."""
READ_AND_WRITE = 2.0
"""Times what is measured here, a refusal costs in all: the rest is Twisted's reading and writing."""
LOOK_EVERY_S = 0.01

LARGEST = 65_536
"""Bytes of a request that is looked at here."""
START = b"POST / HTTP/1.1\r\n"
NOT_PLAIN = re.compile(rb"\r\n(?:transfer-encoding:|expect:|upgrade:|connection:[ \t]*close)")
LENGTH, TIMEOUT, REQUEST_ID, TRACEPARENT = (
    b"\r\n%s:" % name for name in (b"content-length", b"x-request-timeout-seconds", b"x-request-id", b"traceparent")
)


class Head(NamedTuple):
    """What of a request's head matters to its refusal; header values as the consumers read them."""

    missing: int
    """Bytes of the body that have not come yet."""
    timeout: str
    request_id: str
    traceparent: str
    forwarded_for: str


def read(data: bytes, *, most_body_bytes: int, forwarded_for: str = "") -> Head | None:
    """The head of one plain request for the model; ``None`` for anything else, which is for Twisted to read.

    Args:
        data: what has come on a connection between two requests.
        forwarded_for: name of the header in which a proxy says who asks, if there is a proxy.
    """
    end = data.find(b"\r\n\r\n", 0, LARGEST)
    if end < 0 or not data.startswith(START):
        return None
    head = data[len(START) - 2 : end + 2]
    lower = head.lower()
    length = _value(head, lower, LENGTH)
    if not (length.isascii() and length.isdecimal()) or NOT_PLAIN.search(lower):
        return None
    size, missing = int(length), int(length) - (len(data) - end - 4)
    if missing < 0 or size > min(LARGEST, most_body_bytes):
        return None
    return Head(
        missing,
        _value(head, lower, TIMEOUT),
        _value(head, lower, REQUEST_ID),
        _value(head, lower, TRACEPARENT),
        _value(head, lower, b"\r\n%s:" % forwarded_for.lower().encode()) if forwarded_for else "",
    )


def _value(head: bytes, lower: bytes, name: bytes) -> str:
    """The first header of this name (with what stands around it), or an empty text. Any byte is a character."""
    start = lower.find(name)
    if start < 0:
        return ""
    start += len(name)
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


class Waiting(NamedTuple):
    """A request that is to be refused when there is time for it."""

    channel: Any
    data: bytes
    head: Head
    since: float


class EarlyRefusal:
    """One per process.

    A ``channel`` is one of ``daphne_http``; ``call_later`` is the reactor's.
    """

    def __init__(self, call_later: Callable[..., Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._call_later = call_later
        self._clock = clock
        self._budget = Budget(clock())
        self._waiting: deque[Waiting] = deque()

    def takes(self, channel: Any, data: bytes, head: Head) -> bool:
        """Whether this complete request is refused: now, or when there is time for it."""
        began = time.thread_time()
        host, port = channel.asker(head.forwarded_for)
        if not refusals.objects(host, port, head.timeout):
            return False
        now = self._clock()
        if not self._waiting and self._budget.left(now):
            return self._refuse(channel, head, 0.0, began)
        channel.waits = True
        self._waiting.append(Waiting(channel, data, head, now))
        if len(self._waiting) == 1:
            self._call_later(LOOK_EVERY_S, self._look)
        return True

    def _look(self) -> None:
        """Those that have waited longest, as far as there is time. A process that stops refuses all of them."""
        try:
            while self._waiting and (self._budget.left(self._clock()) or refusals.draining()):
                self._end_wait(self._waiting.popleft())
        finally:  # whatever one of them raises, the others do not wait for ever
            if self._waiting:
                self._call_later(LOOK_EVERY_S, self._look)

    def _end_wait(self, waiting: Waiting) -> None:
        began, (channel, data, head, since) = time.thread_time(), waiting
        if channel.gone:
            return
        channel.waits = False
        if not self._refuse(channel, head, self._clock() - since, began):
            channel.parse(data)
        channel.read_on()

    def _refuse(self, channel: Any, head: Head, waited_s: float, began: float) -> bool:
        """False if there is room by now."""
        host, port = channel.asker(head.forwarded_for)
        error = refusals.refusal_reason(host, port, head.timeout, waited_s)
        if error is None:
            return False
        names, close = (head.request_id, head.traceparent), isinstance(error, Draining)
        headers, body = refusals.refuse(InferenceRequest.Transport.HTTP, host, error, names, close=close)
        lines = [b"%s: %s" % header for header in headers]
        channel.answer(b"\r\n".join([b"HTTP/1.1 503 Service Unavailable", *lines, b"", body]), close=close)
        self._budget.spend(min(MOST_S, READ_AND_WRITE * (time.thread_time() - began)))
        return True
