"""What the client is told, and what it saw: both travel as JSON. Only the standard library is imported."""

from dataclasses import dataclass, field

MAX_ANSWERS = 200_000
BATCH_HEADER = b"\r\nx-batch-size:"
PADDING_HEADER = b"\r\nx-padding-ratio:"
"""Share of the computed tokens that was padding, in the batch of this answer."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """``texts`` are sent in turn; ``tokens`` are their lengths; ``sessions`` are the server's processes."""

    port: int
    texts: list[str]
    tokens: list[int]
    sessions: list[int]
    path: str = "/"
    as_json: bool = False
    clients: int = 1
    arrivals_per_s: float = 0.0
    """Above 0: an open loop; ``clients`` are the connections that are there from the start."""
    warmup_s: float = 1.0
    window_s: float = 2.0
    windows: int = 3
    cap_s: float = 30.0
    """Everything ends here, with as many windows as there are."""
    drain_s: float = 20.0
    """How long to wait at the end for what is under way: some servers work on for clients that are gone."""
    answers: int = MAX_ANSWERS
    first_text: int = 0


@dataclass
class Window:
    """What was seen between two answers."""

    started_at: float
    latencies_ms: list[float] = field(default_factory=list)
    answers: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    batches: float = 0.0
    batched: int = 0
    real_tokens: float = 0.0
    padded_tokens: float = 0.0
    seconds: float = 0.0
    server_cpu_s: float = 0.0
    cpu_by_session_s: list[float] = field(default_factory=list)
    main_thread_cpu_s: float = 0.0
    """Of the first session's process: the web server's event loop."""
    client_cpu_s: float = 0.0
    other_cores: float = 0.0
    complete: bool = True

    def note(self, status: str) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1

    def add(self, head: bytes, latency_s: float, tokens: int) -> None:
        status = head[9:12].decode("latin-1")
        self.note(status)
        if status != "200":
            return
        self.latencies_ms.append(latency_s * 1000)
        if size := number(head, BATCH_HEADER):
            self.batches += 1 / size
            self.batched += 1
        padding = number(head, PADDING_HEADER)
        if padding is not None and padding < 1:
            self.real_tokens += tokens
            self.padded_tokens += tokens / (1 - padding)


def number(head: bytes, name: bytes) -> float | None:
    start = head.find(name)
    if start < 0:
        return None
    start += len(name)
    return float(head[start : head.find(b"\r\n", start)])
