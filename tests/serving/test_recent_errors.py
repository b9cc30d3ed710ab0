"""The ring of the last refusals and errors."""

import time

from inference.request_log.entry import Entry
from inference.serving.recent_errors import GROUP_S, MOST, MOST_CHARS, RecentErrors

AT = 1_700_000_000.0


def entry(number: int = 0, status: str = "refused", **fields: object) -> Entry:
    known = {"received_at": AT, "transport": "http", "client": None, "total_ms": 0.0, "code": "overloaded"}
    return Entry(**{"request_id": f"{number:032x}", "status": status, "pipeline": "chat", **known, **fields})  # type: ignore[arg-type]


def test_those_of_one_kind_are_shown_together_and_the_newest_first():
    errors = RecentErrors()
    for number in range(3):
        errors.add(entry(number, message=f"wait {number} s", received_at=AT + number / 10))
    errors.add(entry(7, "failed", code="timeout", received_at=AT + 0.5, total_ms=1000))
    errors.add(entry(8, code="validation", received_at=AT + GROUP_S))
    groups = errors.groups(10)
    assert [(group.last.code, group.number, group.complete) for group in groups] == [
        ("validation", 1, True),
        ("timeout", 1, True),
        ("overloaded", 3, True),
    ]
    assert groups[1].last.at == AT + 1.5  # when it was answered
    assert (groups[2].last.message, groups[2].last.request_id) == ("wait 2 s", f"{2:032x}")
    assert len(errors.groups(2)) == 2
    assert errors.added == 5


def test_what_a_client_gave_up_is_no_error():
    errors = RecentErrors()
    errors.add(entry(status="cancelled", code="cancelled"))
    assert errors.groups(10) == []
    assert errors.added == 0


def test_it_is_bounded_and_refusals_push_out_no_errors():
    errors = RecentErrors()
    errors.add(entry(1, "failed", code="inference", message="x" * 10_000))
    for number in range(3 * MOST):
        errors.add(entry(number, received_at=AT + number / 1e6, preview="a whole body"))
    refused, failed = sorted(errors.groups(10), key=lambda group: group.last.status, reverse=True)
    assert (refused.number, refused.complete) == (MOST, False)
    assert (failed.number, failed.complete) == (1, True)
    assert len(failed.last.message) == MOST_CHARS
    assert "a whole body" not in repr(refused.last)


if __name__ == "__main__":  # what it costs a refusal
    errors, one, began = RecentErrors(), entry(message="The predicted wait is 3.2 s"), time.perf_counter()
    for _ in range(10**6):
        errors.add(one)
    print(f"{time.perf_counter() - began:.2f} µs")  # noqa: T201
