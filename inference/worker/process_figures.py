"""What the process of a host uses of its machine, for its statuses."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from inference.messaging.messages import HostProcess

READ_EVERY_S = 1.0
"""Statuses go to every web process; the figures are read once for all of them."""
STATM = Path("/proc/self/statm")
"""Of Linux; the second number is resident pages."""


class ProcessFigures:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock()
        self._cpu_s = time.process_time()
        self._machine, self._pid, self._cores = socket.gethostname(), os.getpid(), _cores()
        self._newest = self._made(0.0)

    def read(self) -> HostProcess:
        now = self._clock()
        passed_s = now - self._at
        if passed_s >= READ_EVERY_S:
            cpu_s = time.process_time()
            self._newest = self._made((cpu_s - self._cpu_s) / passed_s)
            self._at, self._cpu_s = now, cpu_s
        return self._newest

    def _made(self, busy_cores: float) -> HostProcess:
        return HostProcess(self._machine, self._pid, _resident_mb(), self._cores, round(busy_cores, 2))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0


def _resident_mb() -> int:
    try:
        pages = int(STATM.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20
