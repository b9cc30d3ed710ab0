"""What the dispatcher makes of statuses, and of hosts that are silent, with a layer that only records."""

import pytest

from inference.errors import DeadlineExceeded
from inference.messaging.messages import Facts, Totals
from inference.scheduling.dispatcher import Dispatcher
from inference.scheduling.host_registry import MAX_MISSED_PERIODS
from tests.messaging.recording_layer import RecordingLayer
from tests.scheduling.test_host_registry import DESCRIPTION, part, status


def dispatcher_of(*names: str) -> Dispatcher:
    return Dispatcher(RecordingLayer(), names)


def end_silent_periods(dispatcher: Dispatcher, *, heard: str = "") -> None:
    """As many as make a host lost; one of them is heard meanwhile."""
    for _ in range(MAX_MISSED_PERIODS + 1):
        if host := dispatcher.registry.get(heard):
            host.heard = True
        dispatcher._end_period()


async def test_the_workers_of_a_host_are_those_of_their_pipelines():
    dispatcher = dispatcher_of("one", "two")
    dispatcher._on_status(status("h", part("a", pipeline="one"), part("b", pipeline="two")))
    dispatcher._on_status(status("i", part("c", pipeline="two")))
    assert {name: [*served.workers] for name, served in dispatcher.pipelines.items()} == {
        "one": ["a"],
        "two": ["b", "c"],
    }


async def test_workers_of_pipelines_that_are_not_served_here_are_ignored():
    dispatcher = dispatcher_of("one")
    dispatcher._on_status(status("h", part("a", pipeline="one"), part("b", pipeline="two", facts_n=1)))
    dispatcher._on_facts(Facts("h", "b", 1, DESCRIPTION))
    dispatcher._on_status(status("h", part("a", pipeline="one"), part("b", pipeline="two"), state="stopped"))
    assert not len(dispatcher.registry)
    assert dispatcher.pipelines["one"].workers == {}


async def test_all_that_are_lost_in_a_period_are_removed_together():
    dispatcher = dispatcher_of("one")
    for host in ("a", "b", "c"):
        dispatcher._on_status(status(host, part(f"{host}-w", pipeline="one")))
    end_silent_periods(dispatcher, heard="c")
    assert [host.id for host in dispatcher.registry] == ["c"]
    assert [*dispatcher.pipelines["one"].workers] == ["c-w"]


async def test_each_pipeline_counts_what_its_own_workers_have_done():
    dispatcher = dispatcher_of("one", "two")

    def hear(one: int, two: int) -> None:
        done = (part("a", pipeline="one", totals=Totals(jobs=one)), part("b", pipeline="two", totals=Totals(jobs=two)))
        dispatcher._on_status(status("h", *done))

    hear(2, 3)
    hear(4, 3)
    end_silent_periods(dispatcher)
    hear(5, 3)
    assert {name: served.totals.jobs for name, served in dispatcher.pipelines.items()} == {"one": 5, "two": 3}


async def test_what_a_pipeline_serves_is_awaited_for_that_pipeline():
    dispatcher = dispatcher_of("one", "two")
    dispatcher._on_status(
        status("h", part("a", pipeline="one", facts_n=1), part("b", pipeline="two", state="starting"))
    )
    dispatcher._on_facts(Facts("h", "a", 1, DESCRIPTION))
    assert await dispatcher.description(0.0, "one") == DESCRIPTION
    with pytest.raises(DeadlineExceeded, match="before a worker was ready"):
        await dispatcher.description(0.0, "two")
