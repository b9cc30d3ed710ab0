"""What operators order, from the row to what a web process knows of it."""

import re
import time
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.utils import timezone

from inference.control import orders
from inference.control.desired import UNREAD, Desired
from inference.control.orders import Impossible
from inference.models import HostDrain, PipelineControl
from inference.polling.stamp_poll import Reader, StampPoll

pytestmark = pytest.mark.django_db

HOST = "0123456789ab"


class Known:
    """What a web process knows, without its thread."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.desired = Desired(lambda: self.now)
        self._poll = StampPoll()
        self._poll.add(Reader(self.desired.read, lambda: UNREAD))

    def read(self) -> Desired:
        self._poll.refresh()
        return self.desired


def test_the_newest_order_counts_and_is_known_with_its_age():
    known = Known()
    assert known.read().pipelines == {}
    orders.unload("default")
    PipelineControl.objects.update(ordered_at=timezone.now() - timedelta(seconds=100))
    first = known.read().pipelines["default"]
    assert (first.order, first.unload_first) == ("unload", False)
    assert first.at == pytest.approx(900, abs=50)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", first.since)
    orders.reload("default", unload_first=True)
    second = known.read().pipelines["default"]
    assert (second.order, second.unload_first) == ("reload", True)
    assert second.at == pytest.approx(1000, abs=50)
    assert second.generation > first.generation
    orders.load("default")
    assert known.read().pipelines["default"].order == "load"


def test_an_order_is_newer_than_that_of_a_row_which_was_deleted(monkeypatch: pytest.MonkeyPatch):
    now = time.time()
    for hours in (2, 1):
        monkeypatch.setattr(time, "time", lambda hours=hours: now - 3600 * hours)
        orders.load("default")
    before = PipelineControl.objects.get().generation
    PipelineControl.objects.all().delete()
    monkeypatch.undo()
    orders.load("default")
    assert PipelineControl.objects.get().generation > before


@pytest.mark.parametrize("order", [orders.load, orders.unload, orders.reload])
def test_only_pipelines_of_the_catalog_have_orders(order: Any):
    with pytest.raises(Impossible, match=r"^There is no pipeline 'other'; known are default\.$"):
        order("other")
    assert not PipelineControl.objects.exists()


def test_a_drain_is_known_and_forgotten_a_day_later():
    known = Known()
    orders.drain("aaaaaaaaaaaa")
    orders.drain(HOST)
    assert known.read().drained == {"aaaaaaaaaaaa", HOST}
    HostDrain.objects.filter(host=HOST).update(ordered_at=timezone.now() - timedelta(days=2))
    orders.drain("aaaaaaaaaaaa")
    assert known.read().drained == {"aaaaaaaaaaaa"}
    with pytest.raises(Impossible, match=r"^'web-1' is no id of a host; "):
        orders.drain("web-1")


def test_the_history_has_who_ordered_what():
    user = User.objects.create(username="ada")
    orders.unload("default", user)
    orders.load("default")
    orders.drain(HOST, user)
    entries = [(entry.user, entry.object_repr, entry.change_message) for entry in LogEntry.objects.order_by("id")]
    assert entries == [(user, "default", "Unloaded."), (user, HOST, "Drained.")]
    assert [str(entry) for entry in LogEntry.objects.filter(object_repr="default")] == ["Changed “default” — Unloaded."]
