"""The keys in memory and those in the database."""

import logging
import math
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connections, router
from django.utils import timezone

from inference.access.key_reader import KeyReader
from inference.access.key_table import KeyTable
from inference.access.keys import make
from inference.access.principal import Limits, Principal
from inference.models import ApiKey, Stamp
from inference.polling import stamp_poll
from inference.polling.database_thread import DatabaseThread
from inference.polling.stamp_poll import Reader, StampPoll

pytestmark = pytest.mark.django_db


class Reading:
    """A reader, and its poll without the thread."""

    def __init__(self) -> None:
        self.table = KeyTable()
        self.changes = 0
        self.reader = KeyReader(self.table, self._count)
        self.poll = StampPoll()
        self.poll.add(Reader(self.reader.read, self.reader.unread))

    def _count(self) -> None:
        self.changes += 1

    def find(self, key: str) -> Principal | None:
        return self.table.find(key, timezone.now().timestamp())


@pytest.fixture
def reading() -> Reading:
    return Reading()


def saved(**fields: Any) -> str:
    new = make()
    ApiKey.objects.create(owner="acme", name="a", prefix=new.prefix, digest=new.digest, **fields)
    return new.key


def test_a_key_is_read_with_all_that_it_may(reading: Reading):
    limits: dict[str, Any] = {
        "requests_per_minute": 1,
        "units_per_day": 2,
        "inputs_in_flight": 3,
        "max_deadline_s": 4.0,
    }
    allowed = {"pipelines": ["chat"], "routes": ["openai"], "scope": "manage", "priority": 9}
    key, plain = saved(**limits, **allowed), saved()
    reading.poll.refresh()
    assert reading.find(key) == Principal(
        owner="acme",
        key=key[4:12],
        name="a",
        manages=True,
        pipelines=frozenset({"chat"}),
        routes=frozenset({"openai"}),
        limits=Limits(**limits),
        priority=9,
    )
    assert reading.find(plain) == Principal(owner="acme", key=plain[4:12], name="a")


def test_revoked_and_expired_keys_are_not_read(reading: Reading):
    now, hour = timezone.now(), timedelta(hours=1)
    for _ in range(2):
        saved(revoked_at=now), saved(expires_at=now - hour)
    later = saved(expires_at=now + hour)
    reading.poll.refresh()
    assert len(reading.table) == 1
    assert reading.find(later)
    assert reading.table.find(later, (now + 2 * hour).timestamp()) is None


def test_keys_are_read_again_only_after_a_change(reading: Reading, django_assert_num_queries: Any):
    key = saved()
    reading.poll.refresh()
    with django_assert_num_queries(1):
        reading.poll.refresh()
    row = ApiKey.objects.get()
    row.revoked_at = timezone.now()
    row.save()
    assert reading.find(key)
    with django_assert_num_queries(2):
        reading.poll.refresh()
    assert reading.find(key) is None
    assert reading.changes == 2


@pytest.mark.parametrize("change", ["create", "save", "delete"])
def test_each_change_renews_the_stamp(change: str):
    saved()
    before = Stamp.objects.get().value
    if change == "create":
        saved()
    else:
        getattr(ApiKey.objects.get(), change)()
    assert Stamp.objects.get().value != before


def test_a_change_that_renews_no_stamp_is_found_within_a_minute(reading: Reading, monkeypatch: pytest.MonkeyPatch):
    key = saved()
    reading.poll.refresh()
    ApiKey.objects.update(revoked_at=timezone.now())
    reading.poll.refresh()
    assert reading.find(key)
    assert stamp_poll.READ_ALL_S + 2 * stamp_poll.POLL_S < 60
    monkeypatch.setattr(reading.poll, "_read_at", -math.inf)
    reading.poll.refresh()
    assert reading.find(key) is None


def test_when_keys_were_used_is_written_at_once_for_all(reading: Reading, django_assert_num_queries: Any):
    key, _unused = saved(), saved()
    reading.poll.refresh()
    reading.find(key)
    reading.find(key)
    with django_assert_num_queries(1):
        reading.reader.write_used()
        reading.reader.write_used()
    used = {row.prefix: row.last_used_at for row in ApiKey.objects.all()}
    assert used.pop(key[4:12]) is not None
    assert [*used.values()] == [None]


def test_a_row_that_cannot_be_understood_is_no_key_and_no_harm(reading: Reading, caplog: pytest.LogCaptureFixture):
    keys = [saved(pipelines="chat"), saved(routes={"a": 1}), saved(pipelines=[1])]
    ApiKey.objects.filter(prefix=keys[2][4:12]).update(pipelines=[], digest="abc")
    good = saved()
    reading.poll.refresh()
    assert [reading.find(key) for key in keys] == [None, None, None]
    assert reading.find(good)
    assert [key[4:12] in caplog.text for key in keys] == [True, True, True]


def test_without_the_database_the_last_keys_go_on_to_be_used(
    reading: Reading, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fail(_: str) -> Any:
        raise DatabaseError("gone")

    key = saved()
    monkeypatch.setattr(connections, "close_all", lambda: None)
    with monkeypatch.context() as outage, caplog.at_level(logging.WARNING):
        outage.setattr(router, "db_for_write", fail)
        reading.poll.thread.attempt()
        assert not reading.table.loaded
    reading.poll.thread.attempt()
    with monkeypatch.context() as outage, caplog.at_level(logging.WARNING):
        outage.setattr(router, "db_for_write", fail)
        for _ in range(3):
            reading.poll.thread.attempt()
        assert reading.find(key)
    reading.poll.thread.attempt()
    messages = [record.message for record in caplog.records]
    assert messages[0] == "The keys cannot be read; requests get 503 meanwhile (DatabaseError: gone)"
    assert messages[1].startswith("The database is in order again after 0.")
    assert messages[2] == "The keys cannot be read; 1 known ones are used meanwhile (DatabaseError: gone)"
    assert len(messages) == 4


async def test_the_threads_end_with_a_last_attempt():
    steps: list[str] = []
    thread = DatabaseThread("a", 3600.0, lambda: steps.append("step"), lambda: "")
    thread.start()
    await thread.stop()
    assert steps == ["step", "step"]
    assert not thread._thread.is_alive()


@pytest.mark.parametrize("longest", [0.0, -1.0])
def test_a_key_whose_longest_deadline_nothing_can_meet_does_not_work(reading: Reading, longest: float):
    """Taken as a deadline, 0 would mean the default."""
    key, other = saved(max_deadline_s=longest), saved()
    reading.poll.refresh()
    assert reading.find(key) is None
    assert reading.find(other)
