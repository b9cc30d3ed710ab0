"""A job at its worker, and the interface by which its runner replies to it."""

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from inference.backends.base import PreparedJob
from inference.messaging.messages import Closing, Event, Heard, Job

Key = tuple[str, int]
"""Reply channel and job id, which together identify a job in the whole system."""


@dataclass(eq=False)
class Item:
    """A job at its worker. Moments are of the event loop's clock."""

    key: Key
    job: Job
    received_at: float
    batch_key: Hashable = ()
    alone: bool = False
    may_clear: bool = True
    """Its web process understands ``Cleared``."""
    cancelled: bool = False
    go: asyncio.Event = field(default_factory=asyncio.Event)
    prepared: PreparedJob | None = None
    tokens: int = 1
    longest: int = 1
    sequences: int = 1
    input_tokens: int = 0
    """As the model reads them; ``tokens`` is the size by which batches are chosen."""
    truncated: bool = False
    padding: float = 0.0
    """Of the batch that it ran in: the part of the computed tokens that was none of any input."""

    @cached_property
    def chars(self) -> int:
        """Characters of all texts in the input, and bytes of all media."""
        return _chars(self.job.input)

    @property
    def expires_at(self) -> float:
        return self.received_at + self.job.time_left_s

    @property
    def heard(self) -> Heard | None:
        """Once its job has run. See ``base.Hearing``."""
        return getattr(self.prepared, "heard", None)

    def take(self, prepared: PreparedJob) -> None:
        self.prepared = prepared
        self.tokens, self.longest, self.sequences = prepared.tokens, prepared.longest, prepared.sequences
        self.input_tokens = getattr(prepared, "input_tokens", 0)  # see ``base.Counted``
        self.truncated = getattr(prepared, "truncated", False)


class JobReplies(Protocol):
    """Receives what a runner has to report of its jobs. Its methods must not raise."""

    def event(self, item: Item, event: Event) -> None:
        """The job runs and has made progress."""
        ...

    def close(self, item: Item, closing: Closing) -> None:
        """The job has ended; called exactly once for each."""
        ...

    async def taken(self, item: Item) -> None:
        """Wait until the layer has taken the job's closing entry, but not for long."""
        ...


def _chars(value: Any) -> int:
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_chars, value.values()))
    return sum(map(_chars, value)) if isinstance(value, list) else 0
