"""What the server is to reach: ratios within one run. And how far this machine is from the one they were set on."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks.measure import PIPELINE, Results, Row

GUIDE = ("guide", "guide-batching")
LITSERVE = ("litserve-1", "litserve-8", "litserve-32")
LIMIT = {"ours": "limit", "ours-bf16": "limit-bf16"}


@dataclass(frozen=True)
class Target:
    """``wanted`` is a floor, or a ceiling if ``at_most``."""

    what: str
    wanted: float
    reached: Callable[[Results], float | None]
    at_most: bool = False

    def met(self, reached: float) -> bool:
        return reached <= self.wanted if self.at_most else reached >= self.wanted


def targets() -> list[Target]:
    return [
        *(t for server, wanted in (("ours", 5.0), ("ours-bf16", 8.0)) for t in _against_peers(server, wanted)),
        *_against_limit("bundled", "ours", {32: 0.75, 128: 0.85}),
        *_against_limit("bundled", "ours-bf16", {32: 0.68, 128: 0.75}),
        *_against_limit("base", "ours", {32: 0.88, 128: 0.93}),
        *_against_limit("base", "ours-bf16", {32: 0.85, 128: 0.90}),
        Target("test [MASK], 32 clients: ours / guide-batching", 1.5, _short_against_guide),
        *(
            Target(f"one client, {corpus}: p50 of ours / pipeline", 1.0, _one_client(corpus), at_most=True)
            for corpus in ("mixed", "short")
        ),
        Target("mixed: ours with 128 clients / with 32", 1.0, _many_against_few),
        Target("mixed, 32 clients: ours-redis / ours", 0.90, _redis_against_embedded),
        *(
            Target(f"mixed, {clients} clients: padding of ours", wanted, _padding(clients), at_most=True)
            for clients, wanted in ((32, 0.16), (128, 0.10))
        ),
    ]


def _against_peers(server: str, wanted: float) -> list[Target]:
    def reached(peers: tuple[str, ...]) -> Callable[[Results], float | None]:
        def ratio(results: Results) -> float | None:
            found = [_rate(results.get("bundled", peer, "mixed", 32)) for peer in peers]
            known = [rate for rate in found if rate is not None]
            return _ratio(_rate(results.get("bundled", server, "mixed", 32)), max(known, default=None))

        return ratio

    return [
        Target(f"mixed, 32 clients: {server} / better of the guide's two", wanted, reached(GUIDE)),
        Target(f"mixed, 32 clients: {server} / best of LitServe", wanted, reached(LITSERVE)),
    ]


def _against_limit(model: str, server: str, wanted: dict[int, float]) -> list[Target]:
    def reached(clients: int) -> Callable[[Results], float | None]:
        def ratio(results: Results) -> float | None:
            limit = _rate(results.get(model, LIMIT[server], "mixed", "direct"))
            return _ratio(_rate(results.get(model, server, "mixed", clients)), limit)

        return ratio

    shape = "" if model == "bundled" else "BERT-base shape, "
    return [
        Target(f"{shape}mixed, {clients} clients: {server} / {LIMIT[server]}", ratio, reached(clients))
        for clients, ratio in wanted.items()
    ]


def _short_against_guide(results: Results) -> float | None:
    ours, guide = (results.get("bundled", server, "short", 32) for server in ("ours", "guide-batching"))
    return _ratio(_rate(ours), _rate(guide))


def _one_client(corpus: str) -> Callable[[Results], float | None]:
    def ratio(results: Results) -> float | None:
        ours, direct = results.get("bundled", "ours", corpus, 1), results.get("bundled", PIPELINE, corpus, "direct")
        return _ratio(ours.latency_ms(50), direct.latency_ms(50)) if ours and direct else None

    return ratio


def _many_against_few(results: Results) -> float | None:
    many, few = (_rate(results.get("bundled", "ours", "mixed", clients)) for clients in (128, 32))
    return _ratio(many, few)


def _redis_against_embedded(results: Results) -> float | None:
    redis, embedded = (_rate(results.get("bundled", server, "mixed", 32)) for server in ("ours-redis", "ours"))
    return _ratio(redis, embedded)


def _padding(clients: int) -> Callable[[Results], float | None]:
    def reached(results: Results) -> float | None:
        row = results.get("bundled", "ours", "mixed", clients)
        return row.padding if row else None

    return reached


def _rate(row: Row | None) -> float | None:
    return row.rate if row else None


def _ratio(above: float | None, below: float | None) -> float | None:
    return None if above is None or not below else above / below


@dataclass(frozen=True)
class Reference:
    """The bare model on the machine on which the targets were set, texts per second."""

    model: str
    limit: str
    corpus: str
    rate: float


REFERENCES = (
    Reference("bundled", "limit", "mixed", 322),
    Reference("bundled", "limit-bf16", "mixed", 549),
    Reference("bundled", "limit", "short", 1391),
    Reference("bundled", "limit-bf16", "short", 1843),
    Reference("base", "limit", "mixed", 58),
    Reference("base", "limit-bf16", "mixed", 105),
)
REFERENCE_GFLOPS = {"limit": 224, "limit-bf16": 451}
"""One thread, packed weights."""
REFERENCE_BATCH = 8
CLOSE = 0.10
BUSY_CORES = 0.1


def compared(reference: Reference, row: Row) -> str:
    """One line: this machine against the reference, and why they differ if they do."""
    share = row.rate / reference.rate
    gflops = row.extra.get("matmul_gflops_packed_1_thread", 0)
    line = (
        f"{reference.model} {reference.corpus} {reference.limit}: {row.rate:.0f}/s, {share:.0%} of the reference "
        f"{reference.rate:g}/s (batches of {row.extra['batch']}, {row.extra['wait_policy']} wait; "
        f"batches of {REFERENCE_BATCH} in the trials: {row.extra['trials'][str(REFERENCE_BATCH)]:.0f}/s)"
    )
    if abs(share - 1) <= CLOSE:
        return line
    return f"{line}: {_why(gflops / REFERENCE_GFLOPS[reference.limit], row)}"


def _why(flops: float, row: Row) -> str:
    if row.other_cores > BUSY_CORES:
        return f"other processes used {row.other_cores:.1f} cores meanwhile"
    if abs(flops - 1) > CLOSE:
        return f"a plain product of matrices runs at {flops:.0%} of the reference here"
    return (
        "products of matrices are as fast as there, so the texts' lengths, the wake-up of threads "
        "or noise of the (virtual) machine differ"
    )
