"""Every request that the clients sent, what became of it, and whether the server's own log says the same."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MARK = "number"
Kinds = Counter[tuple[str, str, str]]
"""Transport, status and code, as the request log has them."""
Figures = defaultdict[tuple[str, str], float]
"""By key and column of usage."""


class Outcome(StrEnum):
    RIGHT = "right"
    REFUSED = "refused"
    FAILED = "failed"
    CUT = "cut"
    """By the client itself."""
    UNANSWERED = "unanswered"
    """The connection ended without an answer; the log tells whether a server had taken the request."""
    NOT_TAKEN = "not taken"
    LOST = "lost"
    HUNG = "hung"
    SWAPPED = "swapped"
    """An answer to something else."""


REFUSALS = {"validation", "empty", "payload_too_large", "overloaded", "draining", "loading", "not_loaded"}
SILENT = {Outcome.CUT, Outcome.NOT_TAKEN, Outcome.LOST, Outcome.HUNG}
"""Outcomes that the client does not know from an answer."""
RETRYABLE = {"overloaded", "draining", "loading", "timeout", "worker_lost"}
"""Of a pipeline that can be loaded."""


@dataclass(eq=False)
class Entry:
    """One request, from the moment it was sent."""

    number: int
    phase: str
    pipeline: str
    """That was asked, by name or as the default one."""
    transport: str
    inputs: list[str]
    deadline_s: float
    key: str = ""
    """Prefix of the one that it was sent with."""
    named: bool = True
    """It names its pipeline; otherwise that is the default one."""
    special: bool = False
    """It was made to fail."""
    outcome: Outcome = Outcome.HUNG
    code: str = ""
    request_id: str = ""
    served_by: str = ""
    """The pipeline that the answer is of, as it says itself."""
    outputs: list[Any] = field(default_factory=list)
    answers: int = 0
    """Closing answers; more than one is one too many."""
    cancelled: bool = False
    late_cancels: int = 0
    """Cancels that crossed the answer: refused, and a row of the log each."""
    seconds: float = 0.0
    retry_after_s: float = 0.0
    """What a refusal said, over HTTP."""

    def take_outputs(self, outputs: list[Any]) -> None:
        self.outputs = outputs
        fits = len(outputs) == len(self.inputs) and all(map(belongs, outputs, self.inputs))
        self.outcome = Outcome.RIGHT if fits and self.served_by == self.pipeline else Outcome.SWAPPED

    def take_error(self, code: str) -> None:
        self.code = code
        self.outcome = Outcome.REFUSED if code in REFUSALS else Outcome.FAILED


def belongs(output: Any, text: str) -> bool:
    """Whether a fill-mask output is one for this text: it repeats it, with each candidate in the mask's place."""
    return bool(output) and all(
        _letters(candidate["sequence"]) == _letters(text.replace("[MASK]", candidate["token_str"]))
        for candidate in output
    )


def _letters(text: str) -> str:
    return re.sub(r"[\s#]", "", text.lower())


class Ledger:
    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def of(self, phase: str, *, special: bool | None = None) -> list[Entry]:
        return [e for e in self.entries if e.phase == phase and (special is None or e.special == special)]

    def reconcile(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        """Compare with the request log after a clean stop; returns what does not agree, one sentence each.

        A request that got no answer was lost if the log has it, and never taken if not.
        """
        row_of: dict[int, dict[str, Any]] = {}
        for row in rows:
            if (number := _number_of(row)) is not None:
                entry = self.entries[number - 1]
                entry.answers += number in row_of
                row_of[number] = row
        for entry in self.entries:
            if entry.outcome is Outcome.UNANSWERED:
                taken = entry.number in row_of and row_of[entry.number]["status"] != Outcome.REFUSED
                entry.outcome = Outcome.LOST if taken or entry.request_id else Outcome.NOT_TAKEN
        silent = {e.number for e in self.entries if e.outcome in SILENT}
        logged: Kinds = Counter()
        for row in rows:
            if _number_of(row) not in silent:
                logged[row["transport"], row["status"], row["code"]] += row["count"]
        expected: Kinds = Counter((e.transport, _status(e), e.code) for e in self.entries if e.number not in silent)
        expected["websocket", "refused", "validation"] += sum(e.late_cancels for e in self.entries)
        return (
            _differences(expected, logged)
            + [
                f"request {e.request_id} was accepted and is not in the log"
                for e in self.entries
                if e.number in silent and e.request_id and e.number not in row_of
            ]
            + [
                f"request {number} asked {asked}, and its row is one of {row['pipeline']}"
                for number, row in row_of.items()
                if row["pipeline"] not in ("", asked := self.entries[number - 1].pipeline)  # empty: refused unread
            ]
        )

    def reconcile_usage(self, usage: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]]) -> list[str]:
        """Compare with usage, by key; call it after ``reconcile``. Returns what does not agree, one sentence each.

        Of a request whose outcome its client does not know, the row of the log says it. Usage and log must agree in
        what only servers know, too: units and the model's time. Refusals are compared for all keys together: a server
        that is too busy refuses some before it reads the key.
        """
        row_of = {number: row for row in rows if (number := _number_of(row)) is not None}
        expected: Figures = defaultdict(float)
        for entry in self.entries:
            status = _status(entry)
            if entry.outcome in SILENT:
                if (row := row_of.get(entry.number)) is None:
                    continue  # no server had taken it
                status = row["status"]
            if status == Outcome.REFUSED:
                expected["", "refused"] += 1
            else:
                expected[entry.key, "accepted"] += 1
                expected[entry.key, "inputs" if status == "ok" else status] += (
                    len(entry.inputs) if status == "ok" else 1
                )
            expected["", "refused"] += entry.late_cancels
        for row in rows:
            expected[row["key"], "units"] += row["units"]
            expected[row["key"], "model_ms"] += row["model_ms"] or 0.0
        counted: Figures = defaultdict(float)
        for used in usage:
            counted["", "refused"] += used["refused"]
            counted[used["key"], "accepted"] += used["requests"] - used["refused"]
            for figure in ("inputs", "failed", "cancelled", "units", "model_ms"):
                counted[used["key"], figure] += used[figure]
        return [
            f"{figure} of {key or 'all'}: {expected[key, figure]:g} in the ledger, {counted[key, figure]:g} in usage"
            for key, figure in sorted(expected.keys() | counted.keys())
            if not math.isclose(expected[key, figure], counted[key, figure], abs_tol=1e-3)
        ]


def _number_of(row: dict[str, Any]) -> int | None:
    """Of the request that a row is about; rows that several refusals share name one of them at most."""
    found = re.match(rf"{MARK} (\d+) ", row["preview"]) if row["count"] == 1 else None
    return int(found[1]) if found else None


def _status(entry: Entry) -> str:
    return entry.outcome.value if entry.outcome in (Outcome.REFUSED, Outcome.FAILED) else "ok"


def _differences(expected: Kinds, logged: Kinds) -> list[str]:
    return [
        f"{' '.join(filter(None, kind))}: {expected[kind]} in the ledger, {logged[kind]} in the log"
        for kind in sorted(expected.keys() | logged.keys())
        if expected[kind] != logged[kind]
    ]


COLUMNS = (
    Outcome.RIGHT,
    Outcome.REFUSED,
    Outcome.FAILED,
    Outcome.CUT,
    Outcome.NOT_TAKEN,
    Outcome.LOST,
    Outcome.HUNG,
    "duplicated",
    Outcome.SWAPPED,
)


def counts(entries: Iterable[Entry]) -> Counter[str]:
    entries = list(entries)
    found: Counter[str] = Counter(entry.outcome.value for entry in entries)
    found["duplicated"] = sum(entry.answers > 1 for entry in entries)
    return found


def head() -> str:
    return f"{'phase':<18}{'sent':>7}" + "".join(f"{column:>11}" for column in COLUMNS) + f"{'slowest':>9}  codes"


def line(phase: str, entries: Sequence[Entry]) -> str:
    found = counts(entries)
    codes = Counter(entry.code for entry in entries if entry.code)
    return (
        f"{phase:<18}{len(entries):>7}"
        + "".join(f"{found[column]:>11}" for column in COLUMNS)
        + f"{max((e.seconds for e in entries), default=0.0):>7.1f} s  "
        + ", ".join(f"{number} {code}" for code, number in codes.most_common())
    )
