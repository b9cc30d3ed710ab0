import pytest

from inference import errors
from inference.errors import InferenceError, InferenceFailed, from_worker

HTTP = [
    ("Malformed", 400, "validation", False),
    ("EmptyInput", 400, "empty", False),
    ("Invalid", 422, "validation", False),
    ("PayloadTooLarge", 413, "payload_too_large", False),
    ("UnsupportedMediaType", 415, "unsupported_media_type", False),
    ("NotFound", 404, "not_found", False),
    ("MethodNotAllowed", 405, "method_not_allowed", False),
    ("Overloaded", 503, "overloaded", True),
    ("Draining", 503, "draining", True),
    ("Loading", 503, "loading", True),
    ("NotLoaded", 503, "not_loaded", True),
    ("Unauthorized", 401, "unauthorized", False),
    ("LimitReached", 429, "limit_reached", True),
    ("Forbidden", 403, "forbidden", False),
    ("UploadTooSlow", 408, "request_timeout", True),
    ("HeadersTooLarge", 431, "headers_too_large", False),
    ("DeadlineExceeded", 504, "timeout", True),
    ("WorkerLost", 503, "worker_lost", True),
    ("InferenceFailed", 500, "inference", False),
    ("Internal", 500, "internal", False),
    ("Cancelled", 499, "cancelled", False),
]
"""Class, status, code, and whether a client may retry: only 429, 503, 504 and, on a new connection, 408."""

REFUSALS = {
    "Malformed",
    "EmptyInput",
    "Invalid",
    "PayloadTooLarge",
    "UnsupportedMediaType",
    "NotFound",
    "MethodNotAllowed",
    "Overloaded",
    "Draining",
    "Loading",
    "NotLoaded",
    "Unauthorized",
    "LimitReached",
    "Forbidden",
    "UploadTooSlow",
    "HeadersTooLarge",
}
ALL = {kind.__name__: kind for kind in InferenceError.__subclasses__()}


def test_the_table_is_complete():
    assert ALL.keys() == {name for name, *_ in HTTP}


@pytest.mark.parametrize(("name", "status", "code", "retryable"), HTTP, ids=[row[0] for row in HTTP])
def test_each_error_has_its_status_and_code(name: str, status: int, code: str, retryable: bool):
    kind = ALL[name]
    assert (kind.status, kind.code, kind.retryable) == (status, code, retryable)


@pytest.mark.parametrize("name", ALL)
def test_refusals_are_what_was_turned_away_before_it_ran(name: str):
    assert ALL[name].refusal == (name in REFUSALS)


def test_an_error_carries_its_sentence_and_when_to_retry():
    error = errors.Overloaded("Come back later.", retry_after_s=3)
    assert (str(error), error.message, error.retry_after_s) == ("Come back later.", "Come back later.", 3)


@pytest.mark.parametrize(("code", "kind"), [("validation", errors.Invalid), ("empty", errors.EmptyInput)])
def test_a_workers_error_keeps_its_code(code: str, kind: type[InferenceError]):
    error = from_worker(code, "What was wrong.")
    assert type(error) is kind
    assert error.message == "What was wrong."


@pytest.mark.parametrize("code", ["inference", "of a newer worker", "", "overloaded", "internal"])
def test_any_other_code_of_a_worker_is_a_failed_inference(code: str):
    assert type(from_worker(code, "It failed.")) is InferenceFailed
