"""What entries add, by minute, pipeline, key and dialect."""

from typing import Any

import msgspec
import pytest

from inference.request_log.entry import Entry
from inference.request_log.rollup import counter as counting
from inference.request_log.rollup.counter import RollUpCounter
from inference.request_log.rollup.figures import Figures, decode, encode, total
from inference.request_log.rollup.quantiles import bucket, quantiles
from tests.request_log.test_entry import entry

MINUTE = 1_800_000_000
ANSWERED: dict[str, Any] = {
    "inputs": 2, "units": 9, "tokens": 9, "computed_tokens": 12.0, "batch_size": 4, "queue_ms": 1.0,
    "inference_ms": 20.0, "total_ms": 30.0,
}  # fmt: skip


def only(*entries: Entry) -> Figures:
    ((_, figures),) = RollUpCounter(entries)
    return figures


def test_an_answered_request_has_every_figure():
    figures = only(entry(**ANSWERED), entry(**ANSWERED))
    assert (figures.requests, figures.inputs, figures.units) == (2, 4, 18)
    assert (figures.mean_batch_size, figures.padding) == (4, 0.25)
    times = [quantiles(counts, [0.5]) for counts in (figures.queue, figures.inference, figures.total)]
    assert times == [[pytest.approx(ms, rel=0.0201)] for ms in (1, 20, 30)]


def test_a_refusal_counts_for_all_that_share_its_row_and_has_no_time():
    figures = only(entry(status="refused", code="overloaded", count=7, inputs=3))
    assert figures.outcomes == {"refused overloaded": 7}
    assert (figures.of_status("refused"), figures.inputs, figures.total) == (7, 0, {})


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_one_that_was_accepted_and_not_answered_has_a_total_time(status: str):
    figures = only(entry(status=status, code="timeout", total_ms=30.0, inputs=3))
    assert figures.total == {bucket(30.0): 1}
    assert (figures.inputs, figures.queue, figures.batch_sizes) == (0, {}, {})
    assert (figures.mean_batch_size, figures.padding) == (None, None)


def test_errors_are_listed_by_their_number():
    refused = [entry(status="refused", code=code, count=n) for code, n in (("loading", 2), ("overloaded", 3))]
    failed = entry(status="failed", code="timeout", count=2)
    assert list(only(entry(), failed, *refused).errors()) == [
        ("refused", "overloaded", 3),
        ("failed", "timeout", 2),
        ("refused", "loading", 2),
    ]


@pytest.mark.parametrize(
    "other", [{"key": "e5F6g7H8"}, {"pipeline": "words"}, {"dialect": "openai"}, {"received_at": MINUTE + 60.0}]
)
def test_minutes_pipelines_keys_and_dialects_are_kept_apart(other: dict[str, Any]):
    known: dict[str, Any] = {"received_at": float(MINUTE), "pipeline": "chat"}
    assert len(RollUpCounter([entry(**known), entry(**(known | other))])) == 2


def test_a_counter_is_stored_as_a_whole():
    counter = RollUpCounter([entry(**ANSWERED), entry(status="refused", code="loading", pipeline="chat")])
    assert dict(RollUpCounter.decode(counter.encode())) == dict(counter)
    assert decode(encode(only(entry(**ANSWERED)))) == only(entry(**ANSWERED))


def test_figures_of_a_release_before_have_no_new_fields():
    assert decode(msgspec.msgpack.encode([{"ok": 2}, 3])) == Figures(outcomes={"ok": 2}, inputs=3)


def test_texts_fit_into_their_columns():
    counter = RollUpCounter([entry(pipeline="p" * 999, key="k" * 99, dialect="\0" + "d" * 99)])
    (((_, pipeline, key, dialect), _),) = RollUpCounter.decode(counter.encode())
    assert [len(text) for text in (pipeline, key, dialect)] == [200, 8, 32]
    assert "\0" not in dialect


def test_sums_do_not_depend_on_how_entries_are_divided():
    entries = [entry(units=n, status="failed" if n % 3 else "ok", key="ab"[n % 2]) for n in range(20)]
    parts = RollUpCounter(entries[::2])
    parts.update(RollUpCounter(entries[1::2]))
    assert dict(parts) == dict(RollUpCounter(entries))
    assert total(figures for _, figures in parts).units == sum(range(20))


def test_a_long_outage_is_counted_by_the_hour(monkeypatch: pytest.MonkeyPatch):
    """So memory grows with hours, not with minutes."""
    monkeypatch.setattr(counting, "MOST_BY_MINUTE", 3)
    counter = RollUpCounter(entry(received_at=float(MINUTE + 60 * n)) for n in range(120))
    starts = [start for (start, *_), _ in counter]
    assert starts == [MINUTE, MINUTE + 60, MINUTE + 120, MINUTE + 3600]
    assert sum(figures.requests for _, figures in counter) == 120
