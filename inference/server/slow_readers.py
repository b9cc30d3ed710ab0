"""A bound on the bytes of one connection that its client has not taken, as read from the transport."""

from collections.abc import Callable
from typing import Any, ClassVar

from inference.server.stalls import StallDetector

UNWATCHED_BYTES = 64 * 1024
"""Up to here a connection is not watched: pings and idle limits end one that is dead."""
MOST_STALLED_BYTES = 16 * 1024 * 1024
"""Unsent on all connections that make no progress; above it, further ones that stall are disconnected at once."""


def unsent_bytes(transport: Any) -> int:
    """Bytes in this process that wait for the kernel to take them, without those in the kernel's buffers."""
    descriptor = _descriptor(transport)
    return int(len(descriptor.dataBuffer) - descriptor.offset + descriptor._tempDataLen) if descriptor else 0


def discard_unsent(transport: Any) -> None:
    """Free the buffers of a lost connection; it is part of reference cycles, so they would stay until a collection."""
    if descriptor := _descriptor(transport):
        descriptor.dataBuffer, descriptor.offset = b"", 0
        descriptor._tempDataBuffer, descriptor._tempDataLen = [], 0


def discard_queued(transport: Any) -> None:
    """Drop the writes of which nothing has been sent. No effect under TLS, where that cannot be known."""
    if hasattr(transport, "dataBuffer"):
        transport._tempDataBuffer, transport._tempDataLen = [], 0


def _descriptor(transport: Any) -> Any:
    """Twisted's ``FileDescriptor``, which may be below TLS."""
    while transport is not None and not hasattr(transport, "dataBuffer"):
        transport = getattr(transport, "transport", None)
    return transport


class SlowReaderWatch:
    """Watches one connection while much of it is unsent, and disconnects a client that takes next to nothing.

    A client that takes what it gets may be slow (see ``StallDetector``). One that stalls is disconnected, and so is
    one with more than ``most_bytes`` unsent when more is written. Writers do not wait; they learn of it as of any
    client that disconnects.
    """

    _stalled: ClassVar[dict["SlowReaderWatch", int]] = {}
    """Of the whole process: bytes unsent on each connection that made no progress at its last check, or that was
    disconnected and is not lost yet."""

    def __init__(self, call_later: Callable[..., Any], stall_s: float, most_bytes: int) -> None:
        """``call_later`` is the reactor's."""
        self._call_later = call_later
        self._stall_s = stall_s
        self._most_bytes = most_bytes
        self._written = 0
        self._timer: Any = None

    @property
    def watching(self) -> bool:
        return self._timer is not None

    def wrote(self, transport: Any, size: int, disconnect: Callable[[int], None]) -> None:
        """Call after each write of ``size`` bytes; ``disconnect`` is called with the number of bytes unsent."""
        self._written += size
        unsent = unsent_bytes(transport)
        if unsent - size > self._most_bytes:
            self.stop()
            disconnect(unsent)
        elif self._timer is None and unsent > UNWATCHED_BYTES:
            self._check_later(transport, StallDetector(self._stall_s, self._written - unsent), disconnect)

    def wrote_unwatched(self, transport: Any, size: int) -> None:
        """Call after each write that is not for our mount: only what was written before stays watched."""
        self._written += size
        if self._timer is not None and unsent_bytes(transport) - size <= UNWATCHED_BYTES:
            self.stop()

    def stop(self) -> None:
        """Call when the connection is lost."""
        self._stalled.pop(self, None)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def too_much_stalled(self) -> bool:
        """Whether other connections that stall hold more than ``MOST_STALLED_BYTES``."""
        return sum(self._stalled.values()) - self._stalled.get(self, 0) > MOST_STALLED_BYTES

    def _check_later(self, transport: Any, detector: StallDetector, disconnect: Callable[[int], None]) -> None:
        self._timer = self._call_later(detector.interval_s, self._check, transport, detector, disconnect)

    def _check(self, transport: Any, detector: StallDetector, disconnect: Callable[[int], None]) -> None:
        self._timer = None
        unsent = unsent_bytes(transport)
        self._stalled.pop(self, None)
        if unsent <= UNWATCHED_BYTES:
            return
        too_slow = detector.stalls(self._written - unsent) or (not detector.progresses and self.too_much_stalled())
        if not detector.progresses:
            self._stalled[self] = unsent
        if too_slow:
            disconnect(unsent)
        else:
            self._check_later(transport, detector, disconnect)
