"""One process per server in embedded mode: several would load the model each and share nothing."""

import errno
import multiprocessing
import os
import socket
import sys
from pathlib import Path

REFUSAL = (
    "Another process of this server has loaded the model, and the channel layer in memory reaches only one process. "
    "Start the server with one worker process, or set up a channel layer in Redis."
)
_held: list[socket.socket] = []


def claim() -> bool:
    """Whether this process is the only one of its server that serves; it stays so until it ends.

    The server is the parent process, if that has started this one as its worker: with uvicorn, hypercorn or gunicorn.
    """
    if multiprocessing.parent_process() is None and "gunicorn.arbiter" not in sys.modules:
        return True
    # Linux's abstract names leave no files, and end with the process.
    name = f"\0inference-{os.getuid()}-{os.getppid()}-{_started_at(os.getppid())}"
    held = socket.socket(socket.AF_UNIX)
    try:
        held.bind(name)
    except OSError as error:
        held.close()
        return error.errno != errno.EADDRINUSE
    _held.append(held)
    return True


def _started_at(pid: int) -> str:
    """In clock ticks since the system's start: the same id may be another process later, or in another container."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _forget_in_child() -> None:
    """Otherwise the name would last as long as any child."""
    while _held:
        _held.pop().close()


os.register_at_fork(after_in_child=_forget_in_child)
