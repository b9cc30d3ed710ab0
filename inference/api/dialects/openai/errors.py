"""Errors as OpenAI's clients read them, and those that name a field of the request.

The clients repeat a request after 408, 409, 429 and 5xx by themselves, unless ``x-should-retry`` forbids it, and wait
as long as ``retry-after-ms`` or ``Retry-After`` say; after a ``Retry-After`` above ``LONGEST_WAIT_S`` they give up.
"""

from typing import Any

import msgspec

from inference.api.dialects.base import Headers, Reply
from inference.errors import (
    DeadlineExceeded,
    InferenceError,
    Invalid,
    LimitReached,
    NotFound,
    Overloaded,
    Unauthorized,
)
from inference.serving.context import RequestContext

LONGEST_WAIT_S = 120

INVALID_API_KEY = "invalid_api_key"
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class InvalidField(Invalid):
    """A field, ``param``, whose value is not right."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


class UnsupportedField(InvalidField):
    """A field that would change the answer, and is not supported."""

    code = "unsupported_parameter"


class PreviousResponseNotFound(InvalidField):
    code = "previous_response_not_found"

    def __init__(self, message: str) -> None:
        super().__init__("previous_response_id", message)


class ModelNotFound(NotFound):
    code = "model_not_found"
    param = "model"


def error_fields(error: InferenceError) -> dict[str, Any]:
    """The four that the clients want in each error."""
    status = status_of(error)
    return {
        "error": {
            "message": error.message,
            "type": _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error"),
            "param": getattr(error, "param", None),
            "code": INVALID_API_KEY if isinstance(error, Unauthorized) else error.code,
        }
    }


def status_of(error: InferenceError) -> int:
    """OpenAI has 400 for what the server cannot take, and 429 where it has too much to do."""
    if isinstance(error, Invalid):
        return 400
    return 429 if isinstance(error, Overloaded) else error.status


def write_error(context: RequestContext, error: InferenceError) -> Reply:
    headers: Headers = [(b"content-type", b"application/json"), (b"x-request-id", context.id.encode())]
    if error.retry_after_s is not None:
        wait_s = error.retry_after_s if isinstance(error, LimitReached) else min(error.retry_after_s, LONGEST_WAIT_S)
        headers += [(b"retry-after", b"%d" % wait_s), (b"retry-after-ms", b"%d" % (wait_s * 1000))]
    if not _repeats_help(error):
        headers.append((b"x-should-retry", b"false"))
    return Reply(status_of(error), headers, msgspec.json.encode(error_fields(error)))


def _repeats_help(error: InferenceError) -> bool:
    """After a deadline, a repetition would wait as long, and add to it; for the next day's units, no client waits."""
    if isinstance(error, LimitReached):
        return (error.retry_after_s or 0) <= LONGEST_WAIT_S
    return error.retryable and not isinstance(error, DeadlineExceeded)
