"""What operators want, in the memory of a web process."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now

from inference.models import HostDrain, PipelineControl

UNREAD = "It cannot be read what operators want of pipelines; what is known holds meanwhile"


class Wish(NamedTuple):
    """The newest order for a pipeline."""

    order: Literal["load", "unload", "reload"]
    generation: int
    at: float
    """When it was given, by the clock of its ``Desired``."""
    since: str = ""
    """The same, for people."""
    unload_first: bool = False


class Desired:
    """Read by ``StampPoll`` on its thread, used on the event loop; each attribute is replaced as a whole.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.pipelines: Mapping[str, Wish] = {}
        """By name; those of which nothing was ordered are as the catalog has them."""
        self.drained: frozenset[str] = frozenset()
        """Ids of hosts that are to end."""

    def read(self, using: str) -> None:
        """Raises whatever the database raises."""
        # By its clock alone: those of machines may differ.
        age = ExpressionWrapper(Now() - F("ordered_at"), output_field=DurationField())
        rows = PipelineControl.objects.using(using).annotate(age=age).values()
        self.pipelines = {row["pipeline"]: self._wish(row) for row in rows}
        self.drained = frozenset(HostDrain.objects.using(using).values_list("host", flat=True))

    def _wish(self, row: Mapping[str, Any]) -> Wish:
        given_at, since = self.clock() - row["age"].total_seconds(), datetime.now(UTC) - row["age"]
        return Wish(row["order"], row["generation"], given_at, f"{since:%Y-%m-%d %H:%M} UTC", row["unload_first"])
