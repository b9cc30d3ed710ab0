"""Answers: their headers, and what each error of the server looks like in a dialect."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from inference import errors
from inference.api.dialects.base import Dialect
from inference.api.error_reply import REPEATS_AT_ONCE, error_reply
from inference.api.scope import Transport
from inference.errors import Cancelled, InferenceError, MethodNotAllowed
from inference.serving.context import RequestContext
from inference.tasks.schemas import Schema

Response = dict[str, Any]
Kinds = tuple[type[InferenceError], ...]

OF_A_RUN: Kinds = tuple(
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, InferenceError) and kind not in (Cancelled, MethodNotAllowed)
)
"""In which a request to a pipeline may end: all but one that nobody reads, and that of methods which are not here."""
OF_ACCESS: Kinds = (errors.Unauthorized, errors.Forbidden, errors.LimitReached)
OF_A_RESOURCE: Kinds = (
    *OF_ACCESS,
    *(errors.Malformed, errors.Invalid, errors.NotFound, errors.HeadersTooLarge),
    *(errors.Loading, errors.NotLoaded, errors.Internal),
)
OF_MONITORING: Kinds = (*OF_ACCESS, errors.Malformed, errors.NotFound, errors.HeadersTooLarge, errors.Internal)
"""``Malformed``: for a host that is not served."""

HEADERS = {
    "x-request-id": "of this request, in the log and in errors; the request's own header, if it has one",
    "x-pipeline": "the pipeline that has answered",
    "x-model-version": "the version of its model",
    "x-queue-time": "milliseconds before the model began",
    "x-inference-time": "milliseconds in the model",
    "x-total-time": "milliseconds of the whole request",
    "x-batch-size": "inputs that the model ran at once",
    "retry-after": "seconds after which the request may be sent again",
}
OF_A_MODEL = ("x-pipeline", "x-model-version")


def header_components() -> dict[str, Any]:
    return {name: {"description": meaning, "schema": {"type": "string"}} for name, meaning in HEADERS.items()}


def response(description: str, content: Mapping[str, Schema], headers: Iterable[str] = ()) -> Response:
    """Headers of which nothing is known are left out."""
    written = {name: {"$ref": f"#/components/headers/{name}"} for name in headers if name in HEADERS}
    media = {kind: {"schema": schema} for kind, schema in content.items()}
    return {"description": description, **({"headers": written} if written else {}), "content": media}


def error_components(dialects: Iterable[Dialect]) -> tuple[dict[str, Schema], dict[str, Response]]:
    """The schema of each dialect's errors, and a response for each of their statuses."""
    schemas, responses = {}, {}
    for dialect in dialects:
        schemas[_error_name(dialect)] = dialect.error_schema
        for status, kinds in _by_status(dialect, OF_A_RUN).items():
            responses[_response_name(dialect, status)] = _error_response(dialect, status, kinds)
    return schemas, responses


def error_references(dialect: Dialect, kinds: Kinds) -> dict[str, Any]:
    """By status: where ``error_components`` has the response."""
    return {
        str(status): {"$ref": f"#/components/responses/{_response_name(dialect, status)}"}
        for status in sorted(_by_status(dialect, kinds))
    }


def answer_headers(dialect: Dialect) -> list[str]:
    """Of answers of a model in this dialect: besides the server's own, those that its errors have as well."""
    written = _header_values(dialect, errors.Internal).keys()
    return [*OF_A_MODEL, *(name for name in HEADERS if name in written and name != "retry-after")]


def _by_status(dialect: Dialect, kinds: Kinds) -> dict[int, list[type[InferenceError]]]:
    found: dict[int, list[type[InferenceError]]] = {}
    for kind in kinds:
        for status in {_reply(dialect, kind, agent).status for agent in ("", REPEATS_AT_ONCE)}:
            found.setdefault(status, []).append(kind)
    return found


def _error_response(dialect: Dialect, status: int, kinds: list[type[InferenceError]]) -> Response:
    headers = _header_values(dialect, kinds[0])
    schema = {"$ref": f"#/components/schemas/{_error_name(dialect)}"}
    codes = ", ".join(dict.fromkeys(kind.code for kind in kinds))
    return response(f"{HTTPStatus(status).phrase}: {codes}", {headers["content-type"]: schema}, headers)


def _header_values(dialect: Dialect, kind: type[InferenceError]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in _reply(dialect, kind).headers}


def _reply(dialect: Dialect, kind: type[InferenceError], user_agent: str = "") -> Any:
    error = kind("", retry_after_s=1 if kind.retryable else None)
    return error_reply(dialect, RequestContext(transport=Transport.HTTP), error, user_agent)


def _error_name(dialect: Dialect) -> str:
    return f"{dialect.name}_error"


def _response_name(dialect: Dialect, status: int) -> str:
    return f"{dialect.name}_{status}"
