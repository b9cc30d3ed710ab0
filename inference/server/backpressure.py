"""What a connection was given to send and its client does not take: bounded, as read from the transport."""

from collections.abc import Callable
from typing import Any, ClassVar

from inference.server.stalls import StallDetector

UNWATCHED_BYTES = 64 * 1024
"""Up to here nobody cares: pings and idle limits end a connection that is dead."""
CROWD_BYTES = 16 * 1024 * 1024
"""Unsent to clients that take nothing at the moment; while there is more, others that stall get no patience."""


def unsent_bytes(transport: Any) -> int:
    """Bytes in this process that wait for the kernel to take them; the kernel's own buffers come on top."""
    descriptor = _descriptor(transport)
    return int(len(descriptor.dataBuffer) - descriptor.offset + descriptor._tempDataLen) if descriptor else 0


def forget_unsent(transport: Any) -> None:
    """Of a connection that is gone. It is part of reference cycles, so its buffers would wait for the collector."""
    if descriptor := _descriptor(transport):
        descriptor.dataBuffer, descriptor.offset = b"", 0
        descriptor._tempDataBuffer, descriptor._tempDataLen = [], 0


def forget_unbegun(transport: Any) -> None:
    """Drop the writes of which nothing has been sent; what is under way stays. Below TLS that cannot be known."""
    if hasattr(transport, "dataBuffer"):
        transport._tempDataBuffer, transport._tempDataLen = [], 0


def _descriptor(transport: Any) -> Any:
    """Twisted's ``FileDescriptor``, which may be below TLS."""
    while transport is not None and not hasattr(transport, "dataBuffer"):
        transport = getattr(transport, "transport", None)
    return transport


class Backpressure:
    """Watches one connection while much of it is unsent, and cuts it off when its client takes next to nothing.

    A client that takes what it gets may be slow (see ``StallDetector``). One that stalls, or that has more than
    ``most_bytes`` unsent when there is more to send, is cut off. No caller waits: what writes to the connection learns
    of it as of any client that disconnects.
    """

    _stalled: ClassVar[dict["Backpressure", int]] = {}
    """Of the whole process: bytes unsent on each connection that made no progress when it was last looked at, or that
    was cut off and is not gone yet."""

    def __init__(self, call_later: Callable[..., Any], stall_s: float, most_bytes: int) -> None:
        """``call_later`` is the reactor's."""
        self._call_later = call_later
        self._stall_s = stall_s
        self._most_bytes = most_bytes
        self._written = 0
        self._watch: Any = None

    @property
    def watching(self) -> bool:
        return self._watch is not None

    def wrote(self, transport: Any, size: int, cut_off: Callable[[int], None]) -> None:
        """Call after each write of ``size`` bytes; ``cut_off`` gets the number of bytes that are unsent."""
        self._written += size
        unsent = unsent_bytes(transport)
        if unsent - size > self._most_bytes:
            self.stop()
            cut_off(unsent)
        elif self._watch is None and unsent > UNWATCHED_BYTES:
            self._look_later(transport, StallDetector(self._stall_s, self._written - unsent), cut_off)

    def stop(self) -> None:
        """The connection is gone."""
        self._stalled.pop(self, None)
        if self._watch is not None and self._watch.active():
            self._watch.cancel()
        self._watch = None

    def _look_later(self, transport: Any, pace: StallDetector, cut_off: Callable[[int], None]) -> None:
        self._watch = self._call_later(pace.look_every_s, self._look, transport, pace, cut_off)

    def _look(self, transport: Any, pace: StallDetector, cut_off: Callable[[int], None]) -> None:
        self._watch = None
        unsent = unsent_bytes(transport)
        self._stalled.pop(self, None)
        if unsent <= UNWATCHED_BYTES:
            return
        too_slow = pace.stalls(self._written - unsent) or (not pace.progresses and self.crowded())
        if not pace.progresses:
            self._stalled[self] = unsent
        if too_slow:
            cut_off(unsent)
        else:
            self._look_later(transport, pace, cut_off)

    def crowded(self) -> bool:
        """Others do not read: this process holds much for them. One by itself is no crowd, whatever it holds."""
        return sum(self._stalled.values()) - self._stalled.get(self, 0) > CROWD_BYTES
