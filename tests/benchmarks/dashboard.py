"""How long pages of the dashboard take, and what roll-ups cost: ``python -m tests.benchmarks.dashboard``.

Rows are those that 10 million requests of 30 days leave, of 5 pipelines, 20 keys and 2 dialects. On SQLite, unless
``DATABASE_URL`` says another database.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

DAYS = 30
PIPELINES, KEYS, DIALECTS = 5, 20, 2
ROUNDS = 7
BATCH, BATCHES = 200, 20
"""Ten seconds of a busy web process."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--keep", action="store_true", help="only fill the database that DATABASE_URL names")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("DATABASE_URL", f"sqlite:///{Path(folder) / 'log.sqlite3'}")
        os.environ |= {"DJANGO_SETTINGS_MODULE": "inferencesite.settings", "DJANGO_SECRET_KEY": "only-for-benchmarks"}
        import django  # noqa: PLC0415 - reads the settings

        django.setup()
        from django.core.management import call_command  # noqa: PLC0415

        call_command("migrate", verbosity=0)
        if not options.keep:
            _measure_writing()
        _fill(options.requests)
        if not options.keep:
            _measure_pages()


def _measure_writing() -> None:
    from inference.models import RollUp, RollUpDelta  # noqa: PLC0415
    from inference.request_log.rollup.merging import merge  # noqa: PLC0415

    for kinds in (1, 10, PIPELINES * KEYS * DIALECTS):
        chance = random.Random(1)
        batch = [_entry(chance, 1_800_000_000.0, chance.randrange(kinds)) for _ in range(BATCH)]
        count_s = _best(partial(_counted, batch))
        data = _counted(batch)
        insert_s = _best(partial(RollUpDelta.objects.create, figures=data))
        merging = []
        for _ in range(3):
            RollUpDelta.objects.all().delete()
            for _ in range(BATCHES):
                RollUpDelta.objects.create(figures=data)
            began, cpu = time.perf_counter(), time.thread_time()
            merge("default")
            merging.append((time.thread_time() - cpu, time.perf_counter() - began))
        merge_s, wall_s = min(merging)
        _print(
            f"{kinds} combinations: counting {1e6 * count_s / BATCH:.1f} µs a request, its row {1e6 * insert_s:.0f} µs "
            f"a batch of {BATCH}; merging {BATCHES} batches {1e3 * merge_s:.0f} ms of CPU ({1e3 * wall_s:.0f} ms), "
            f"{1e6 * merge_s / BATCHES / BATCH:.1f} µs a request"
        )
    RollUp.objects.all().delete()


def _counted(batch: list[Any]) -> bytes:
    from inference.request_log.rollup.counter import RollUpCounter  # noqa: PLC0415

    return RollUpCounter(batch).encode()


def _entry(chance: random.Random, at: float, kind: int) -> Any:
    """Of a pipeline that is slower in the afternoon."""
    from inference.request_log.entry import Entry  # noqa: PLC0415

    pipeline, key, dialect = kind // (KEYS * DIALECTS), kind // DIALECTS % KEYS, kind % DIALECTS
    status, code = chance.choices(
        [("ok", ""), ("refused", "overloaded"), ("failed", "timeout"), ("cancelled", "cancelled")], [95, 3, 1, 1]
    )[0]
    answered = status == "ok"
    queue, inference = chance.lognormvariate(1, 1), chance.lognormvariate(2 + pipeline / 2, 0.5)
    return Entry(
        request_id="",
        received_at=at,
        transport="http",
        client=None,
        dialect=("native", "openai")[dialect],
        key=f"key{key:05}",
        pipeline=f"pipeline-{pipeline}",
        inputs=1,
        status=status,
        code=code,
        batch_size=chance.randrange(1, 17) if answered else 0,
        queue_ms=queue if answered else None,
        inference_ms=inference if answered else None,
        units=20 if answered else 0,
        total_ms=queue + inference,
        tokens=20 if answered else 0,
        computed_tokens=23.0 if answered else 0.0,
    )


def _fill(requests: int) -> None:
    from inference.models import RollUp  # noqa: PLC0415
    from inference.request_log.rollup import cube  # noqa: PLC0415
    from inference.request_log.rollup.counter import RollUpCounter  # noqa: PLC0415
    from inference.request_log.rollup.figures import Figures  # noqa: PLC0415
    from inference.request_log.rollup.merging import KEPT  # noqa: PLC0415

    chance = random.Random(2)
    weights = [1 / (1 + kind) for kind in range(PIPELINES * KEYS * DIALECTS)]
    now = time.time()
    first = int(now) // cube.DAY * cube.DAY - DAYS * cube.DAY
    hours = range(first, int(now), cube.HOUR)
    days: dict[cube.Slot, cube.Cells] = {}
    for hour in hours:
        by_minute = now - hour < KEPT[cube.MINUTE].total_seconds()
        seconds = min(cube.HOUR, now - hour)
        counter = RollUpCounter()
        kinds = chance.choices(range(len(weights)), weights, k=int(requests / len(hours)))
        for kind in kinds:
            counter.add(_entry(chance, hour + (chance.random() * seconds if by_minute else 0), kind))
        slots = cube.cube(counter)
        for slot in [slot for slot in slots if slot.span == cube.DAY]:
            for cell, figures in slots.pop(slot).items():
                days.setdefault(slot, {}).setdefault(cell, Figures()).update(figures)
        if not by_minute:
            slots = {slot: cells for slot, cells in slots.items() if slot.span == cube.HOUR}
        RollUp.objects.bulk_create(_rows(slots), batch_size=5000)
    RollUp.objects.bulk_create(_rows(days), batch_size=5000)
    _print(f"{requests:,} requests are {RollUp.objects.count():,} rows")


def _rows(slots: Any) -> Iterator[Any]:
    from inference.models import RollUp  # noqa: PLC0415
    from inference.request_log.rollup.figures import encode  # noqa: PLC0415

    for slot, cells in slots.items():
        for (pipeline, key, dialect), figures in cells.items():
            names = {"pipeline": pipeline, "key": key, "dialect": dialect}
            yield RollUp(**slot._asdict(), **names, requests=figures.requests, figures=encode(figures))


def _measure_pages() -> None:
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415

    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.create(username="root", is_staff=True, is_superuser=True))
    for query in ("30d", "7d", "24h", "6h", "1h", "30d&key=key00003", "30d&key=key00003&pipeline=pipeline-0"):
        address = f"/admin/inference/rollup/?period={query}"
        assert client.get(address).status_code == 200
        taken = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            size = len(client.get(address).content)
            taken.append(1000 * (time.perf_counter() - began))
        _print(f"{query}: {sorted(taken)[ROUNDS // 2]:.0f} ms (median of {ROUNDS}), {size / 1000:.0f} KB")


def _best(run: Callable[[], object]) -> float:
    taken = []
    for _ in range(20):
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return min(taken)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
