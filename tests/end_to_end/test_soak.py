"""A short chaos run; ``make soak`` is the long one. And its ledger: what it would notice."""

from collections.abc import Iterable
from typing import Any

import pytest

from inference.request_log.entry import Entry
from inference.request_log.rollup.counter import RollUpCounter
from inference.request_log.rollup.cube import cube
from inference.request_log.rollup.figures import encode
from tests import processes
from tests.fakes import DELAY_S, filled
from tests.soak import __main__ as soak
from tests.soak import roll_ups
from tests.soak.ledger import Entry as LedgerEntry
from tests.soak.ledger import Ledger, Outcome, belongs, counts


class Reference:
    """What a fake pipeline answers."""

    def learn(self, texts: Iterable[str], **parameters: Any) -> None: ...

    def check(self, answer: Any, text: str, **parameters: Any) -> None:
        assert answer == filled(text, parameters)


@pytest.mark.timeout(900)
def test_every_promise_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a rate that a machine with a quarter of the speed can do with one worker. Workers have a fake pipeline that is
    as fast as the model: most of the time would be that of loading, each time that one is started again."""
    monkeypatch.setattr(soak, "ENVIRONMENT", soak.ENVIRONMENT | processes.FAKE | {DELAY_S: "0.02"})
    monkeypatch.setattr(soak, "Reference", Reference)
    phases = "failing,kills,outage,bad,cuts,cuts,cuts,cuts,rolling"  # at this rate, in one time of cuts too few leave
    assert soak.main(["--seconds", "15", "--only", phases, "--rate", "10"]) == 0


def output_for(text: str) -> list[dict[str, str]]:
    return [{"token_str": word, "sequence": text.replace("[MASK]", word).lower()} for word in ("sea", "sky")]


def make_ledger(*outcomes: Outcome) -> Ledger:
    ledger = Ledger()
    for number, outcome in enumerate(outcomes, 1):
        inputs = [f"number {number} 0 The [MASK]"]
        entry = LedgerEntry(number, "steady", "second", "http", inputs, 30, outcome=outcome, answers=1)
        ledger.entries.append(entry)
    return ledger


def row(number: int, status: str = "ok", code: str = "", count: int = 1, pipeline: str = "second") -> dict[str, Any]:
    fields = {"preview": f"number {number} 0 The [MASK]", "transport": "http", "pipeline": pipeline}
    return fields | {"status": status, "code": code, "count": count}


def test_an_answer_belongs_to_its_input_alone() -> None:
    assert belongs(output_for("number 1 0 The [MASK]"), "number 1 0 The [MASK]")
    assert not belongs(output_for("number 2 0 The [MASK]"), "number 1 0 The [MASK]")
    assert not belongs([], "number 1 0 The [MASK]")


@pytest.mark.parametrize(("order", "outcome"), [("ab", Outcome.RIGHT), ("ba", Outcome.SWAPPED), ("a", Outcome.SWAPPED)])
def test_answers_in_another_order_are_swapped(order: str, outcome: Outcome) -> None:
    entry = LedgerEntry(1, "steady", "second", "http", ["a [MASK]", "b [MASK]"], 30, served_by="second")
    entry.take_outputs([output_for(f"{letter} [MASK]") for letter in order])
    assert entry.outcome is outcome


@pytest.mark.parametrize("pipeline", ["first", ""])
def test_an_answer_of_another_pipeline_or_of_none_is_swapped(pipeline: str) -> None:
    entry = LedgerEntry(1, "steady", "second", "http", ["a [MASK]"], 30, served_by=pipeline)
    entry.take_outputs([output_for("a [MASK]")])
    assert entry.outcome is Outcome.SWAPPED


def test_without_an_answer_the_log_tells_what_was_lost() -> None:
    ledger = make_ledger(Outcome.UNANSWERED, Outcome.UNANSWERED, Outcome.UNANSWERED)
    assert ledger.reconcile([row(1), row(2, "refused", "draining")]) == []
    assert [entry.outcome for entry in ledger.entries] == [Outcome.LOST, Outcome.NOT_TAKEN, Outcome.NOT_TAKEN]


def test_two_rows_are_two_answers() -> None:
    ledger = make_ledger(Outcome.RIGHT)
    assert ledger.reconcile([row(1), row(1)]) == ["http ok: 1 in the ledger, 2 in the log"]
    assert counts(ledger.entries)["duplicated"] == 1


def test_a_row_that_is_missing_is_noticed() -> None:
    assert make_ledger(Outcome.RIGHT, Outcome.RIGHT).reconcile([row(1)]) == ["http ok: 2 in the ledger, 1 in the log"]


def test_rows_that_refusals_share_count_for_each() -> None:
    ledger = make_ledger(Outcome.REFUSED, Outcome.REFUSED, Outcome.CUT)
    for entry in ledger.entries[:2]:
        entry.code = "overloaded"
    assert ledger.reconcile([row(1, "refused", "overloaded", count=2), row(3, "failed", "cancelled")]) == []


def test_a_row_of_another_pipeline_is_noticed() -> None:
    ledger = make_ledger(Outcome.RIGHT, Outcome.REFUSED)
    ledger.entries[1].code = "draining"
    rows = [row(1, pipeline="third"), row(2, "refused", "draining", pipeline="")]  # which may not know it
    assert ledger.reconcile(rows) == ["request 1 asked second, and its row is one of third"]


def test_a_cut_request_that_was_accepted_is_in_the_log() -> None:
    ledger = make_ledger(Outcome.CUT)
    ledger.entries[0].request_id = "abc"
    assert ledger.reconcile([]) == ["request abc was accepted and is not in the log"]


def used(key: str = "", **figures: float) -> dict[str, Any]:
    return {"key": key} | dict.fromkeys(USAGE, 0) | figures


USAGE = ("requests", "inputs", "refused", "failed", "cancelled", "units", "model_ms")


def keyed_row(number: int, **fields: Any) -> dict[str, Any]:
    return {**row(number), "key": "a", "units": 5, "model_ms": 1.5, **fields}


def test_usage_by_key_is_that_of_the_ledger() -> None:
    ledger = make_ledger(Outcome.RIGHT, Outcome.FAILED, Outcome.REFUSED, Outcome.CUT, Outcome.NOT_TAKEN)
    for entry in ledger.entries:
        entry.key = "a"
    ledger.entries[0].late_cancels = 1
    others = [keyed_row(number, units=0, model_ms=None) for number in (2, 3)]
    rows = [keyed_row(1), *others, keyed_row(4, status="cancelled", units=2, model_ms=None)]
    usage = [used("a", requests=3, inputs=1, failed=1, cancelled=1, units=7, model_ms=1.5), used(requests=2, refused=2)]
    assert ledger.reconcile_usage(usage, rows) == []
    usage[0] |= {"inputs": 2, "units": 8}
    assert ledger.reconcile_usage(usage, rows) == [
        "inputs of a: 1 in the ledger, 2 in usage",
        "units of a: 7 in the ledger, 8 in usage",
    ]


def timed_row(ms: float, status: str = "ok", **fields: Any) -> dict[str, Any]:
    times = dict.fromkeys(("queue_ms", "inference_ms", "total_ms"), ms if status == "ok" else None) | {"total_ms": ms}
    known = {"received_at": "2027-01-16 00:00:30.500000", "key": "a", "dialect": "native", "batch_size": 2}
    return row(1, status=status, **fields) | known | times | {"units": 5}


def kept_of(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    counter = RollUpCounter(
        Entry(request_id="", received_at=1_800_057_630.5, client=None, **{name: row[name] for name in COUNTED})
        for row in rows
    )
    return [
        {"span": slot.span, "start": slot.start, "pipeline": pipeline, "key": key, "dialect": dialect}
        | {"figures": encode(figures)}
        for slot, cells in cube(counter).items()
        for (pipeline, key, dialect), figures in cells.items()
    ]


COUNTED = ("transport", "pipeline", "key", "dialect", "status", "code", "count", "units", "batch_size", "queue_ms",
           "inference_ms", "total_ms")  # fmt: skip


def test_roll_ups_are_those_of_the_log() -> None:
    rows = [timed_row(3.0), timed_row(5.0), timed_row(0.0, "refused", code="overloaded", count=7)]
    assert roll_ups.reconcile(kept_of(*rows), rows) == []
    missing = roll_ups.reconcile(kept_of(*rows[1:]), rows)
    assert len(missing) == 24 * 6, "every row by span and combination, of requests, units, sizes and three times"
    assert any("3 ms in the log" in sentence for sentence in roll_ups.reconcile(kept_of(timed_row(3.2)), rows[:1]))
