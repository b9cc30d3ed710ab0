"""Whether the roll-ups of the dashboard say what the request log says, which the ledger was compared with."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import product
from typing import Any

from inference.request_log.rollup.cube import SPANS
from inference.request_log.rollup.figures import Figures, decode
from inference.request_log.rollup.quantiles import ACCURACY, SHORTEST_MS, Counts, quantiles

ALL = "*"
PARTS = (0.5, 0.95, 0.99)
Where = tuple[int, int, str, str, str]
"""Span, start, pipeline, key and dialect."""


def reconcile(stored: Iterable[Mapping[str, Any]], rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """What does not agree, one sentence each: numbers must be equal, quantiles within their accuracy."""
    kept = {
        (row["span"], row["start"], row["pipeline"], row["key"], row["dialect"]): decode(row["figures"])
        for row in stored
        if row["span"] in SPANS
    }
    logged: defaultdict[Where, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        at = int(datetime.fromisoformat(row["received_at"]).replace(tzinfo=UTC).timestamp())
        names = product((row["pipeline"], ALL), (row["key"], ALL), (row["dialect"], ALL))
        for span, (pipeline, key, dialect) in product(SPANS, names):
            logged[span, at - at % span, pipeline, key, dialect].append(row)
    return [
        f"roll-up of {where}: {sentence}"
        for where in sorted(kept.keys() | logged.keys())
        for sentence in _differences(kept.get(where, Figures()), logged[where])
    ]


def _differences(kept: Figures, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    outcomes: Counter[str] = Counter()
    for row in rows:
        outcomes[f"{row['status']} {row['code']}".rstrip()] += row["count"]
    if outcomes != kept.outcomes:
        yield f"{dict(outcomes)} in the log, {kept.outcomes} kept"
    if (units := sum(row["units"] for row in rows)) != kept.units:
        yield f"{units} units in the log, {kept.units} kept"
    accepted = [row for row in rows if row["status"] != "refused"]
    answered = [row for row in rows if row["queue_ms"] is not None]
    if (sizes := Counter(row["batch_size"] for row in answered)) != kept.batch_sizes:
        yield f"batch sizes {dict(sizes)} in the log, {kept.batch_sizes} kept"
    yield from _times("queue", kept.queue, [row["queue_ms"] for row in answered])
    yield from _times("inference", kept.inference, [row["inference_ms"] for row in answered])
    yield from _times("total", kept.total, [row["total_ms"] for row in accepted])


def _times(name: str, counts: Counts, values: list[float]) -> Iterator[str]:
    if len(values) != sum(counts.values()):
        yield f"{len(values)} {name} times in the log, {sum(counts.values())} kept"
    elif values:
        ordered = sorted(max(value, SHORTEST_MS) for value in values)
        for part, estimate in zip(PARTS, quantiles(counts, PARTS), strict=True):
            exact = ordered[int(part * (len(ordered) - 1))]
            if estimate is None or abs(estimate - exact) > (ACCURACY + 1e-9) * exact:
                yield f"p{100 * part:g} of the {name} time is {exact:g} ms in the log, {estimate} ms kept"
