"""One process per server in embedded mode: several would load the model each and share nothing."""

import fcntl
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path

REFUSAL = (
    "Another process of this server has loaded the model, and the channel layer in memory reaches only one process. "
    "Start the server with one worker process, or set up a channel layer in Redis."
)
_held: list[int] = []


def claim() -> bool:
    """Whether this process is the only one of its server that serves; it stays so until it ends.

    The server is the parent process, if that has started this one as its worker: with uvicorn, hypercorn or gunicorn.
    """
    if multiprocessing.parent_process() is None and "gunicorn" not in sys.modules:
        return True
    path = Path(tempfile.gettempdir()) / f"inference-{os.getuid()}-{os.getppid()}.lock"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return False
    _held.append(file)
    return True
