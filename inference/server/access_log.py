"""Daphne's access log, as records of Python's logging."""

import logging
import sys
from typing import Any

from daphne import access

logger = logging.getLogger("daphne.access")
write_entry = access.AccessLogGenerator.write_entry


def log_access(self: Any, host: str, date: Any, request: str, status: Any = None, *args: Any, **kwargs: Any) -> None:
    """Log at DEBUG, since the request log has a row for each request to the model.

    A file that ``--access-log`` names is written as by Daphne.
    """
    if self.stream is sys.stdout:
        logger.debug("%s %s %s", host, request, status or "-", extra={"client": host, "status": status})
    else:
        write_entry(self, host, date, request, status, *args, **kwargs)


def install() -> None:
    access.AccessLogGenerator.write_entry = log_access
