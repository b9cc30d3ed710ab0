"""What the audit costs a row of the request log, and how fast it is verified: ``python -m tests.benchmarks.audit``.

On SQLite as it is served; the batches are those of a busy writer.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

BATCH_ROWS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=40_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "inferencesite.settings",
            "DJANGO_SECRET_KEY": "only-for-benchmarks",
            "DATABASE_URL": f"sqlite:///{Path(folder) / 'log.sqlite3'}",
        }
        import django  # noqa: PLC0415 - reads the settings

        django.setup()
        _measure(rows)


def _measure(number: int) -> None:
    from django.core.management import call_command  # noqa: PLC0415

    from inference.models import InferenceRequest  # noqa: PLC0415
    from inference.request_log.audit.chain_writer import ChainWriter  # noqa: PLC0415
    from inference.request_log.audit.verification import Verification  # noqa: PLC0415
    from inference.request_log.entry import Entry, to_row  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    writer = ChainWriter()

    def write(chained: Callable[..., AbstractContextManager[None]]) -> float:
        began = time.perf_counter()
        for first in range(0, BATCH_ROWS * 10, BATCH_ROWS):
            batch = [to_row(_entry(Entry, first + n)) for n in range(BATCH_ROWS)]
            with chained(batch, [0] * BATCH_ROWS):
                InferenceRequest.objects.bulk_create(batch)
        return (time.perf_counter() - began) / (BATCH_ROWS * 10) * 1e6

    def unchained(*_: Any) -> AbstractContextManager[None]:
        return nullcontext()

    turns = [(write(unchained), write(writer.chained)) for _ in range(max(3, number // 4000))]
    off, chain = (sorted(column)[len(turns) // 2] for column in zip(*turns, strict=True))
    _print(f"a row without audit: {off:.1f} µs; with: {chain:.1f} µs ({chain / off - 1:+.0%}), medians of {len(turns)}")
    batch = [to_row(_entry(Entry, n)) for n in range(BATCH_ROWS)]
    head = writer._head
    assert head is not None
    began = time.perf_counter()
    for _ in range(50):
        writer._seal(batch, [0] * BATCH_ROWS, head)
    _print(
        f"  of which canonical form, digest and hash: {(time.perf_counter() - began) / 50 / BATCH_ROWS * 1e6:.1f} µs"
    )
    InferenceRequest.objects.filter(audit_chain__isnull=True).delete()
    verification, began = Verification(), time.perf_counter()
    assert not any(verification.findings())
    took = time.perf_counter() - began
    _print(
        f"verified: {verification.totals.rows:,} rows in {took:.1f} s, {verification.totals.rows / took:,.0f} a second"
    )


def _entry(kind: Any, number: int) -> Any:
    return kind(
        request_id=f"{number:032x}", received_at=time.time(), transport="http", client="192.0.2.7", pipeline="default",
        version="0123456789abcdef-0123456789", inputs=1, preview="The capital of France is [MASK]. " * 3, status="ok",
        times_sent=1, worker="0123456789abcdef", batch_size=32, queue_ms=1.25, inference_ms=12.5, total_ms=14.75,
    )  # fmt: skip


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
