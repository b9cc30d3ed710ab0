"""The errors that a request may end in: each with a code, an HTTP status and whether a client may retry.

HTTP answers, WebSocket ``error`` frames, the request log and the messages between web and worker use these codes.
A message is one sentence for the client: what was wrong and what would be right.
"""

from typing import ClassVar


class InferenceError(Exception):
    """Base of every error that a client may receive. Subclasses set the class variables."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    refusal: ClassVar[bool] = False
    """The request was rejected before it ran; the request log counts these as refused, the others as failed."""

    def __init__(self, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s


class Internal(InferenceError):
    """A bug in this server. The traceback is in the log; the client gets only the request id."""


class Malformed(InferenceError):
    """The body or frame cannot be parsed: not UTF-8, not JSON, or without ``inputs``."""

    code, status = "validation", 400
    refusal = True


class EmptyInput(InferenceError):
    code, status = "empty", 400
    refusal = True


class Invalid(InferenceError):
    """The request was parsed, but is not valid for the model: wrong type or parameter, too long, no mask."""

    code, status = "validation", 422
    refusal = True


class PayloadTooLarge(InferenceError):
    code, status = "payload_too_large", 413
    refusal = True


class UnsupportedMediaType(InferenceError):
    code, status = "unsupported_media_type", 415
    refusal = True


class Unauthorized(InferenceError):
    """No key, an unknown, expired or revoked one, or two different ones."""

    code, status = "unauthorized", 401
    refusal = True


class Forbidden(InferenceError):
    """The ``Origin`` of a browser's request is not an allowed host, or its key may not do this."""

    code, status = "forbidden", 403
    refusal = True


class NotFound(InferenceError):
    code, status = "not_found", 404
    refusal = True


class MethodNotAllowed(InferenceError):
    code, status = "method_not_allowed", 405
    refusal = True


class UploadTooSlow(InferenceError):
    """The upload stalled. The connection is closed; the request may be sent again on another."""

    code, status, retryable = "request_timeout", 408, True
    refusal = True


class HeadersTooLarge(InferenceError):
    code, status = "headers_too_large", 431
    refusal = True


class Overloaded(InferenceError):
    code, status, retryable = "overloaded", 503, True
    refusal = True


class LimitReached(InferenceError):
    """A limit of the key; nothing was done for the request."""

    code, status, retryable = "limit_reached", 429, True
    refusal = True


class Draining(InferenceError):
    code, status, retryable = "draining", 503, True
    refusal = True


class Loading(InferenceError):
    code, status, retryable = "loading", 503, True
    refusal = True


class NotLoaded(InferenceError):
    """Every worker of the pipeline has failed to load it. Hosts with several pipelines try again by themselves."""

    code, status, retryable = "not_loaded", 503, True
    refusal = True


class DeadlineExceeded(InferenceError):
    code, status, retryable = "timeout", 504, True


class WorkerLost(InferenceError):
    code, status, retryable = "worker_lost", 503, True


class InferenceFailed(InferenceError):
    """The model failed on this input. The traceback is in the worker's log."""

    code, status = "inference", 500


class Cancelled(InferenceError):
    """The client cancelled the request or disconnected. The status is nginx's and appears only in logs."""

    code, status = "cancelled", 499


FROM_WORKER: dict[str, type[InferenceError]] = {error.code: error for error in (Invalid, EmptyInput, InferenceFailed)}
"""Errors that a worker may report for one job, by their code in messages."""


def from_worker(code: str, message: str) -> InferenceError:
    """The error that a worker reported. An unknown code, from a newer worker, becomes ``InferenceFailed``."""
    return FROM_WORKER.get(code, InferenceFailed)(message)
