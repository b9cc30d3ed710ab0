"""Daphne's access log, as records of Python's logging."""

import logging
import sys
from typing import Any

from daphne import access

from inference.server import mount

logger = logging.getLogger("daphne.access")
write_entry = access.AccessLogGenerator.write_entry


def log_access(self: Any, host: str, date: Any, request: str, status: Any = None, *args: Any, **kwargs: Any) -> None:
    """Log a request for our mount at DEBUG, since the request log has a row for each request to the model.

    Other requests, and a file that ``--access-log`` names, are written as by Daphne.

    Args:
        request: a word and the target, such as ``GET /``.
    """
    if self.stream is sys.stdout and mount.is_ours(request.partition(" ")[2]):
        logger.debug("%s %s %s", host, request, status or "-", extra={"client": host, "status": status})
    else:
        write_entry(self, host, date, request, status, *args, **kwargs)


def install() -> None:
    access.AccessLogGenerator.write_entry = log_access
