"""What a number of requests comes to, in a form that can be added and stored."""

import math
from collections.abc import Iterator

import msgspec

from inference.models import InferenceRequest
from inference.request_log.entry import Entry
from inference.request_log.rollup.quantiles import bucket, merge

Status = InferenceRequest.Status
OK, REFUSED = str(Status.OK), str(Status.REFUSED)


class Figures(msgspec.Struct, array_like=True):
    """Stored as an array without names: new fields are added at the end, with defaults."""

    outcomes: dict[str, int] = {}
    """Requests by status, followed by the code where there is one: ``ok``, ``refused overloaded``."""
    inputs: int = 0
    """Of answered requests."""
    units: int = 0
    tokens: int = 0
    """That workers read."""
    computed_tokens: float = 0.0
    """For them, with padding."""
    batch_sizes: dict[int, int] = {}
    """Requests with an answer by the size of their largest batch."""
    queue: dict[int, int] = {}
    inference: dict[int, int] = {}
    """Both of requests with an answer. See ``quantiles``."""
    total: dict[int, int] = {}
    """Of requests that were accepted, whatever became of them; refusals take no time that matters."""

    def add(self, entry: Entry) -> None:
        status = str(entry.status)
        outcome = f"{status} {entry.code}" if entry.code else status
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + entry.count
        self.units += entry.units
        self.tokens += entry.tokens
        self.computed_tokens += entry.computed_tokens
        if status == OK:
            self.inputs += entry.inputs
        if entry.queue_ms is not None and entry.inference_ms is not None:
            self.batch_sizes[entry.batch_size] = self.batch_sizes.get(entry.batch_size, 0) + 1
            number = bucket(entry.queue_ms)
            self.queue[number] = self.queue.get(number, 0) + 1
            number = bucket(entry.inference_ms)
            self.inference[number] = self.inference.get(number, 0) + 1
        if status != REFUSED and math.isfinite(entry.total_ms):
            number = bucket(entry.total_ms)
            self.total[number] = self.total.get(number, 0) + 1

    def update(self, more: "Figures") -> None:
        for outcome, count in more.outcomes.items():
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + count
        self.inputs += more.inputs
        self.units += more.units
        self.tokens += more.tokens
        self.computed_tokens += more.computed_tokens
        merge(self.batch_sizes, more.batch_sizes)
        merge(self.queue, more.queue)
        merge(self.inference, more.inference)
        merge(self.total, more.total)

    @property
    def requests(self) -> int:
        return sum(self.outcomes.values())

    def of_status(self, status: str) -> int:
        return sum(count for outcome, count in self.outcomes.items() if outcome.partition(" ")[0] == status)

    def errors(self) -> Iterator[tuple[str, str, int]]:
        """Status, code and number of those without an answer, the most frequent first."""
        for outcome, count in sorted(self.outcomes.items(), key=lambda item: (-item[1], item[0])):
            status, _, code = outcome.partition(" ")
            if status != OK:
                yield status, code, count

    @property
    def mean_batch_size(self) -> float | None:
        """As requests saw it: a batch of ten counts for each of its ten."""
        number = sum(self.batch_sizes.values())
        return sum(size * count for size, count in self.batch_sizes.items()) / number if number else None

    @property
    def padding(self) -> float | None:
        """The part of the computed tokens that was none of any input; ``None`` where there are no tokens."""
        return 1 - self.tokens / self.computed_tokens if self.computed_tokens else None


def total(several: "Iterator[Figures]") -> Figures:
    """A new one."""
    found = Figures()
    for figures in several:
        found.update(figures)
    return found


_decoder = msgspec.msgpack.Decoder(Figures)
_encoder = msgspec.msgpack.Encoder()


def encode(figures: Figures) -> bytes:
    return _encoder.encode(figures)


def decode(data: bytes | memoryview) -> Figures:
    return _decoder.decode(data)
