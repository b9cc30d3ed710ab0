"""Usage: what the requests of each key to each pipeline came to, by day in UTC.

It is counted from the entries of the request log and written in the transaction of their rows, so that both say the
same. Entries without a row of their own count as well: those that share one, and those that were dropped.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from django.db import models

from inference.models import InferenceRequest, Usage
from inference.request_log.entry import Entry
from inference.request_log.preview import storable

Status = InferenceRequest.Status
FIGURES = ("requests", "inputs", "units", "model_ms", "refused", "failed", "cancelled")
EPOCH = date(1970, 1, 1).toordinal()
DAY_S = 86_400
_MAX_LENGTHS = {f.name: f.max_length for f in Usage._meta.concrete_fields if isinstance(f, models.CharField)}


@dataclass(slots=True)
class Figures:
    name: str
    owner: str
    requests: int = 0
    inputs: int = 0
    units: int = 0
    model_ms: float = 0.0
    refused: int = 0
    failed: int = 0
    cancelled: int = 0


class UsageCounter:
    """Sums for each key, pipeline and day, so its size does not depend on the number of requests."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._sums: dict[tuple[int, str, str], Figures] = {}
        for entry in entries:
            self.add(entry)

    def __bool__(self) -> bool:
        return bool(self._sums)

    def add(self, entry: Entry) -> None:
        """Raises ``OverflowError`` or ``ValueError`` for a moment that has no day."""
        where = int(entry.received_at // DAY_S), entry.key, entry.pipeline
        sums = self._sums.get(where)
        if sums is None:
            sums = self._sums[where] = Figures(entry.key_name, entry.owner)
        sums.name, sums.owner = entry.key_name, entry.owner
        sums.requests += entry.count
        sums.units += entry.units
        sums.model_ms += entry.model_ms or 0.0
        if entry.status == Status.OK:
            sums.inputs += entry.inputs
        else:
            setattr(sums, entry.status, getattr(sums, entry.status) + entry.count)

    def update(self, other: "UsageCounter") -> None:
        for where, more in other._sums.items():
            sums = self._sums.setdefault(where, Figures(more.name, more.owner))
            sums.name, sums.owner = more.name, more.owner
            for figure in FIGURES:
                setattr(sums, figure, getattr(sums, figure) + getattr(more, figure))

    def rows(self) -> list[Usage]:
        """In the order in which every process writes them, or two would wait for each other's rows."""
        return [
            Usage(
                day=date.fromordinal(EPOCH + day),
                key=_cut("key", key),
                pipeline=_cut("pipeline", pipeline),
                name=_cut("name", sums.name),
                owner=_cut("owner", sums.owner),
                **{figure: getattr(sums, figure) for figure in FIGURES},
            )
            for (day, key, pipeline), sums in sorted(self._sums.items())
        ]


def _cut(column: str, text: str) -> str:
    return storable(text)[: _MAX_LENGTHS[column]]
