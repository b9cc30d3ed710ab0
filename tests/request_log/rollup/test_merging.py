"""Roll-ups say what the log says, however many processes write at once."""

import asyncio
import math
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from django.db import DEFAULT_DB_ALIAS, connection, connections

from inference.models import InferenceRequest, RollUp, RollUpDelta, Usage
from inference.request_log.aggregation import RefusalAggregator
from inference.request_log.entry import Entry
from inference.request_log.rollup import merging
from inference.request_log.rollup.counter import RollUpCounter
from inference.request_log.rollup.cube import DAY, HOUR, MINUTE, SPANS
from inference.request_log.rollup.figures import Figures, decode, total
from inference.request_log.rollup.merging import KEPT, Merger, merge, prune
from inference.request_log.rollup.quantiles import ACCURACY, quantiles
from inference.request_log.usage import EPOCH
from inference.request_log.writer import RequestLog
from inferencesite.settings import SQLITE, database
from tests import postgres
from tests.request_log.test_entry import entry

ALL = RollUp.ALL
MIDNIGHT = 1_800_057_600
PARTS = (0.5, 0.95, 0.99)
WRITERS, REQUESTS = 4, 400
MINUTES = (MIDNIGHT - 60, MIDNIGHT, MIDNIGHT + 3600)
Cell = tuple[int, int, str, str, str]


def add(*entries: Entry) -> None:
    RollUpDelta.objects.create(figures=RollUpCounter(entries).encode())


def rows(**where: Any) -> dict[Cell, Figures]:
    found = RollUp.objects.exclude(span=RollUp.LOCK).filter(**where)
    return {(r.span, r.start, r.pipeline, r.key, r.dialect): decode(r.figures) for r in found}


# Of one process


@pytest.fixture(params=["upsert", "without upsert"])
def _any_database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without upsert":
        monkeypatch.setattr(type(connection.features), "supports_update_conflicts", False)


@pytest.mark.django_db
@pytest.mark.usefixtures("_any_database")
def test_a_delta_changes_rows_of_its_minute_hour_and_day():
    for at, units in ((MIDNIGHT + 3600.5, 1), (MIDNIGHT + 3659.5, 2), (MIDNIGHT + 3660.0, 4), (MIDNIGHT + 7200.0, 8)):
        add(entry(received_at=at, units=units, pipeline="chat"))
        assert not merge(DEFAULT_DB_ALIAS)
    assert {where[:2]: figures.units for where, figures in rows(pipeline=ALL, key=ALL, dialect=ALL).items()} == {
        (MINUTE, MIDNIGHT + 3600): 3,
        (MINUTE, MIDNIGHT + 3660): 4,
        (MINUTE, MIDNIGHT + 7200): 8,
        (HOUR, MIDNIGHT + 3600): 7,
        (HOUR, MIDNIGHT + 7200): 8,
        (DAY, MIDNIGHT): 15,
    }
    assert not RollUpDelta.objects.exists()
    assert {r.requests for r in RollUp.objects.filter(span=DAY)} == {4}


@pytest.mark.django_db
def test_rows_sum_up_every_combination():
    asked = [("chat", "a", "openai"), ("chat", "b", "openai"), ("words", "a", "native")]
    add(*[entry(pipeline=p, key=k, dialect=d, units=10**n) for n, (p, k, d) in enumerate(asked)])
    merge(DEFAULT_DB_ALIAS)
    units = {where[2:]: figures.units for where, figures in rows(span=HOUR).items()}
    assert units[ALL, ALL, ALL] == 111
    assert (units["chat", ALL, ALL], units["words", ALL, ALL]) == (11, 100)
    assert (units[ALL, "a", ALL], units[ALL, "a", "native"], units["chat", "b", ALL]) == (101, 100, 10)
    assert len(units) == len({cell for names in asked for cell in product(*((name, ALL) for name in names))})


@pytest.mark.django_db
def test_many_keys_are_merged_in_several_statements():
    for _ in range(2):
        add(*[entry(key=f"{n:08}") for n in range(120)])
        merge(DEFAULT_DB_ALIAS)
    found = rows(span=MINUTE, pipeline=ALL, dialect=ALL)
    assert Counter(figures.requests for figures in found.values()) == {2: 120, 240: 1}


@pytest.mark.django_db
def test_a_merge_that_fails_changes_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    add(entry(units=5))
    with monkeypatch.context() as patched:
        patched.setattr(merging, "_replace", lambda *_: 1 / 0)
        patched.setattr(connections, "close_all", lambda: None)  # the test's own
        merger = Merger()
        merger.run()
        merger.run()
    assert ["are behind" in message for message in caplog.messages] == [True]
    assert RollUpDelta.objects.count() == 1
    merger.run()
    assert [figures.units for figures in rows(span=DAY, pipeline=ALL, key=ALL, dialect=ALL).values()] == [5]


@pytest.mark.django_db
@pytest.mark.parametrize("bound", ["MOST_DELTAS", "MOST_SUMS"])
def test_more_deltas_than_a_transaction_takes(bound: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(merging, bound, 2)
    for _ in range(5):
        add(entry(units=1), entry(units=1, key="other"))
    Merger().run()
    assert total(iter(rows(span=DAY, pipeline=ALL, key=ALL, dialect=ALL).values())).units == 10


@pytest.mark.django_db
def test_rows_that_no_page_shows_are_deleted():
    now = MIDNIGHT + 100 * DAY
    for span, age in KEPT.items():
        for start in (now - age.total_seconds() - span, now - age.total_seconds() + span):
            RollUp.objects.create(span=span, start=start, pipeline=ALL, key=ALL, dialect=ALL)
    RollUp.objects.create(span=RollUp.LOCK, start=0)
    prune(now, DEFAULT_DB_ALIAS)
    assert sorted(RollUp.objects.values_list("span", flat=True)) == [RollUp.LOCK, *SPANS]
    assert min(KEPT.values()) > timedelta(hours=25)


def test_a_long_merge_makes_the_next_one_wait(monkeypatch: pytest.MonkeyPatch):
    now = [100.0]
    monkeypatch.setattr("inference.request_log.rollup.merging.time.monotonic", lambda: now[0])
    monkeypatch.setattr(merging, "merge", lambda _: bool(now.__setitem__(0, now[0] + 3.0)))
    monkeypatch.setattr(merging, "prune", lambda *_: None)
    merger = Merger(interval_s=10)
    now[0] = 110.0
    assert merger.due()
    merger.run()
    now[0] = 113.0 + 149
    assert not merger.due()
    now[0] = 113.0 + 151
    assert merger.due()


def test_a_backlog_is_merged_in_parts_between_which_the_log_is_written(monkeypatch: pytest.MonkeyPatch):
    now, left = [100.0], [10]

    def merge_some(_: str) -> bool:
        now[0] += 0.4
        left[0] -= 1
        return left[0] > 0

    monkeypatch.setattr("inference.request_log.rollup.merging.time.monotonic", lambda: now[0])
    monkeypatch.setattr(merging, "merge", merge_some)
    monkeypatch.setattr(merging, "prune", lambda *_: None)
    merger = Merger(interval_s=10)
    now[0] = 110.0
    for rest in (7, 4, 1):
        merger.run()
        assert left == [rest], "about a second's work"
        assert not merger.due()
        now[0] += 6.1
        assert merger.due(), "a fifth of a core"
    merger.run(math.inf)
    assert left == [0]
    now[0] += 6.1
    assert not merger.due()


# Of several


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=postgres.needed)])
def _shared(request: pytest.FixtureRequest, tmp_path: Path, django_db_blocker: Any) -> Iterator[None]:
    """A database as in production, instead of the tests' own, for several threads."""
    if request.param == "sqlite":
        yield from _as_default(SQLITE | {"NAME": str(tmp_path / "log.sqlite3")}, django_db_blocker)
    else:
        with postgres.running() as server:
            unpooled = {"CONN_HEALTH_CHECKS": False, "OPTIONS": {}}
            yield from _as_default(database(server.url) | unpooled, django_db_blocker)


def _as_default(config: dict[str, Any], django_db_blocker: Any) -> Iterator[None]:
    settings, own = connections.settings["default"], connections["default"]
    connections.settings |= connections.configure_settings({"default": config})
    connections["default"] = connections.create_connection("default")
    with django_db_blocker.unblock():
        with connection.schema_editor() as editor:
            for model in (InferenceRequest, Usage, RollUp, RollUpDelta):
                editor.create_model(model)
        yield
        connection.close()
    connections.settings["default"], connections["default"] = settings, own


def requests(seed: int) -> Iterator[Entry]:
    """Of three minutes before and after midnight."""
    chance = random.Random(seed)
    for number in range(REQUESTS):
        status = chance.choices(["ok", "refused", "failed", "cancelled"], [8, 3, 1, 1])[0]
        answered = status == "ok"
        yield entry(
            seed * REQUESTS + number,
            received_at=chance.choice(MINUTES) + chance.random() * 59,
            status=status,
            code="" if answered else chance.choice(["overloaded", "timeout"]),
            pipeline=chance.choice(["", "chat"]),
            key=chance.choice(["", "a1B2c3D4"]),
            dialect=chance.choice(["native", "openai"]),
            inputs=chance.randrange(1, 4),
            units=chance.randrange(100) if answered else 0,
            batch_size=chance.randrange(1, 9) if answered else 0,
            queue_ms=chance.lognormvariate(0, 2) if answered else None,
            inference_ms=chance.lognormvariate(2, 1) if answered else None,
            total_ms=chance.lognormvariate(3, 1),
        )


def write(seed: int) -> None:
    """Like one web process."""
    log = RequestLog(interval_s=0.005, capacity=REQUESTS // 4)
    log._merger = Merger(interval_s=0.02)
    log._refusals = RefusalAggregator(rows_per_second=REQUESTS)  # so that none counts in the minute of another
    if seed:  # the first one begins to write when most entries are dropped
        log.start()
    for number, asked in enumerate(requests(seed)):
        log.record(asked)
        if number % 100 == 0:
            threading.Event().wait(0.002)
    log.start()
    asyncio.run(log.stop(60))


def exact(values: list[float]) -> list[float]:
    return [sorted(values)[int(part * (len(values) - 1))] for part in PARTS]


@pytest.mark.usefixtures("_shared")
def test_what_several_processes_write_at_once_is_what_they_were_asked():
    """By minute, hour and day, and by everything that a page can filter. Dropped entries count as well."""
    threads = [threading.Thread(target=write, args=[seed]) for seed in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert RollUpDelta.objects.count() == 0
    asked: defaultdict[Cell, list[Entry]] = defaultdict(list)
    for one in (one for seed in range(WRITERS) for one in requests(seed)):
        for span, p, k, d in product(SPANS, (one.pipeline, ALL), (one.key, ALL), (one.dialect, ALL)):
            asked[span, int(one.received_at) // span * span, p, k, d].append(one)
    found = rows()
    assert sum(figures.requests for figures in found.values()) == sum(map(len, asked.values()))
    for cell, entries in asked.items():
        _compare(found[cell], entries)
    for row in Usage.objects.all():
        counted = found[DAY, (row.day.toordinal() - EPOCH) * DAY, row.pipeline, row.key, ALL]
        assert (counted.requests, counted.units, counted.inputs) == (row.requests, row.units, row.inputs)


def _compare(figures: Figures, entries: list[Entry]) -> None:
    assert figures.outcomes == Counter(f"{one.status} {one.code}".rstrip() for one in entries)
    answered = [one for one in entries if one.status == "ok"]
    assert figures.units == sum(one.units for one in answered)
    assert figures.inputs == sum(one.inputs for one in answered)
    assert figures.batch_sizes == Counter(one.batch_size for one in answered)
    for counts, values in (
        (figures.queue, [one.queue_ms for one in answered]),
        (figures.inference, [one.inference_ms for one in answered]),
        (figures.total, [one.total_ms for one in entries if one.status != "refused"]),
    ):
        assert sum(counts.values()) == len(values)
        times: list[Any] = [max(value or 0, 0.01) for value in values]
        if times:
            assert quantiles(counts, PARTS) == [pytest.approx(ms, rel=ACCURACY + 1e-9) for ms in exact(times)]
