"""The last refusals and errors of this process, for people who look while they happen."""

from collections import Counter, deque
from itertools import chain, islice
from operator import itemgetter
from typing import NamedTuple

from inference.models import InferenceRequest
from inference.request_log.entry import Entry

REFUSED, CANCELLED = InferenceRequest.Status.REFUSED, InferenceRequest.Status.CANCELLED
MOST = 400
"""Kept of each kind: refusals under overload push out no errors."""
MOST_CHARS = 300
"""Kept of a message."""


class RecentError(NamedTuple):
    at: float
    """When it was answered, in seconds since the epoch."""
    status: str
    pipeline: str
    code: str
    message: str
    """As the client and the log got it; it may quote an input."""
    request_id: str
    transport: str


GROUP_S = 10
"""Those of one pipeline with one code within so many seconds are shown together."""


class ErrorGroup(NamedTuple):
    """Those of one pipeline with one code within ``GROUP_S``."""

    last: RecentError
    number: int
    complete: bool
    """``False`` if there were more, which are not kept any more."""

    @property
    def key(self) -> tuple[int, str, str, str]:
        """That of no other group."""
        return _key(self.last)

    def joined(self, earlier: "ErrorGroup | None") -> "ErrorGroup":
        """With what was known of the same group earlier, when it may have had some that are not kept any more."""
        if earlier is None or earlier.number <= self.number:
            return self
        return self._replace(number=earlier.number, complete=False)


class RecentErrors:
    """Refusals and errors of requests that have ended; what their clients gave up is neither."""

    def __init__(self) -> None:
        self.added = 0
        """So far: whoever has seen this number has seen everything."""
        self._refused: deque[tuple[float, str, str, str, str, str, str]] = deque(maxlen=MOST)
        """The fields of ``RecentError``, of which fewer are looked at than are added."""
        self._failed: deque[tuple[float, str, str, str, str, str, str]] = deque(maxlen=MOST)

    def add(self, entry: Entry) -> None:
        """Of a request that was not answered. Runs for each refusal: it does as little as it can."""
        status, message = entry.status, entry.message
        if status == CANCELLED:
            return
        self.added += 1
        if len(message) > MOST_CHARS:
            message = message[: MOST_CHARS - 1] + "…"
        at = entry.received_at + entry.total_ms / 1000
        kept = self._refused if status == REFUSED else self._failed
        kept.append((at, status, entry.pipeline, entry.code, message, entry.request_id, entry.transport))

    def groups(self, most: int) -> list[ErrorGroup]:
        """The newest, latest first."""
        newest: dict[tuple[int, str, str, str], tuple[float, str, str, str, str, str, str]] = {}
        numbers: Counter[tuple[int, str, str, str]] = Counter()
        incomplete = {_key(kept[0]) for kept in (self._refused, self._failed) if len(kept) == MOST}
        for fields in sorted(chain(self._refused, self._failed), key=itemgetter(0), reverse=True):
            key = _key(fields)
            numbers[key] += 1
            newest.setdefault(key, fields)
        return [
            ErrorGroup(RecentError(*fields), numbers[key], key not in incomplete)
            for key, fields in islice(newest.items(), most)
        ]


def _key(fields: tuple[float, str, str, str, str, str, str]) -> tuple[int, str, str, str]:
    return int(fields[0] / GROUP_S), fields[1], fields[2], fields[3]
