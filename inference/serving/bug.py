"""What clients are told of a bug of this server."""

import logging

from inference.errors import Internal
from inference.observability import tracing

logger = logging.getLogger(__name__)


def log_bug(error: Exception, request_id: str, traceparent: str = "") -> Internal:
    """Log an unexpected exception; returns the error for the client, with the request id of the log record."""
    logger.error("Request %s", request_id, exc_info=error, extra=tracing.fields(request_id, traceparent))
    return Internal(f"This server has a bug; its log has the details under request {request_id}.")
