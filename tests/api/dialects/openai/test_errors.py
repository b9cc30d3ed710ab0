import json
from typing import Any

import pytest

from inference import errors
from inference.api.dialects.openai import DIALECT
from inference.api.dialects.openai.errors import InvalidField, ModelNotFound, UnsupportedField
from inference.errors import InferenceError
from inference.serving.context import RequestContext

CONTEXT = RequestContext(transport="http", id="req-1")


@pytest.mark.parametrize(
    ("error", "status", "fields", "wait", "retry"),
    [
        (errors.Invalid("No."), 400, ("invalid_request_error", None, "validation"), None, False),
        (InvalidField("n", "No."), 400, ("invalid_request_error", "n", "validation"), None, False),
        (UnsupportedField("n", "No."), 400, ("invalid_request_error", "n", "unsupported_parameter"), None, False),
        (ModelNotFound("No."), 404, ("invalid_request_error", "model", "model_not_found"), None, False),
        (errors.Forbidden("No."), 403, ("permission_error", None, "forbidden"), None, False),
        (errors.Overloaded("No.", retry_after_s=2), 429, ("rate_limit_error", None, "overloaded"), "2", True),
        (errors.Loading("No.", retry_after_s=900), 503, ("server_error", None, "loading"), "120", True),
        (errors.LimitReached("No.", retry_after_s=9), 429, ("rate_limit_error", None, "limit_reached"), "9", True),
        (errors.LimitReached("No.", retry_after_s=900), 429, ("rate_limit_error", None, "limit_reached"), "900", False),
        (errors.DeadlineExceeded("No."), 504, ("server_error", None, "timeout"), None, False),
        (errors.InferenceFailed("No."), 500, ("server_error", None, "inference"), None, False),
        (errors.WorkerLost("No."), 503, ("server_error", None, "worker_lost"), None, True),
    ],
)
def test_errors_have_the_form_that_clients_read(
    error: InferenceError, status: int, fields: tuple[Any, ...], wait: str | None, retry: bool
):
    reply = DIALECT.error(CONTEXT, error)
    type_, param, code = fields
    assert json.loads(reply.body) == {"error": {"message": "No.", "type": type_, "param": param, "code": code}}
    headers = {name.decode(): value.decode() for name, value in reply.headers}
    assert reply.status == status
    assert headers["x-request-id"] == "req-1"
    assert headers.get("retry-after") == wait
    assert headers.get("retry-after-ms") == (f"{wait}000" if wait else None)
    assert ("x-should-retry" not in headers) == retry
