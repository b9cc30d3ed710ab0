import logging

import msgspec
import pytest

from inference.messaging.messages import Description
from inference.scheduling.versions import RETURNS_WITHIN_S, Versions, titled
from tests.scheduling.test_worker_registry import DESCRIPTION


def serving(**ready: int) -> list[Description]:
    """``a=2``: two ready workers of that version."""
    return [
        msgspec.structs.replace(DESCRIPTION, version=version) for version, count in ready.items() for _ in range(count)
    ]


def served(versions: Versions, now: float, **ready: int) -> str:
    versions.look(serving(**ready), now)
    return versions.served.version if versions.served else ""


def test_nothing_is_served_before_a_worker_is_ready():
    assert served(Versions(), 0.0) == ""


def test_a_worker_that_is_started_with_another_model_by_mistake_gets_nothing():
    versions = Versions()
    assert served(versions, 0.0, a=1) == "a"
    assert served(versions, 1.0, a=1, b=1) == "a"
    assert served(versions, 2.0, b=1, a=2) == "a"


def test_a_rolling_change_goes_over_when_most_have_changed():
    versions = Versions()
    steps = [{"a": 4}, {"a": 3, "b": 1}, {"a": 2, "b": 2}, {"a": 1, "b": 3}, {"b": 4}]
    assert [served(versions, now, **step) for now, step in enumerate(steps)] == ["a", "a", "a", "b", "b"]


def test_a_version_whose_workers_have_stopped_is_left_at_once():
    versions = Versions()
    served(versions, 0.0, a=1, b=1)
    assert served(versions, 1.0, b=1) == "b"


def test_a_version_whose_workers_were_lost_is_waited_for():
    """They are started again; and what else is there may be a mistake."""
    versions = Versions()
    served(versions, 0.0, a=1, b=1)
    versions.lost("a", 10.0)
    assert served(versions, 10.0 + RETURNS_WITHIN_S - 0.1, b=1) == "a"
    assert served(versions, 10.0 + RETURNS_WITHIN_S, b=1) == "b"


def test_one_that_comes_back_meanwhile_goes_on():
    versions = Versions()
    served(versions, 0.0, a=1, b=1)
    versions.lost("a", 10.0)
    assert served(versions, 15.0, a=1, b=1) == "a"


def test_a_lost_worker_of_another_version_holds_up_nothing():
    versions = Versions()
    served(versions, 0.0, a=1, b=1, c=1)
    versions.lost("c", 1.0)
    assert served(versions, 2.0, b=1) == "b"


def test_what_was_served_is_known_while_nothing_is_ready():
    versions = Versions()
    served(versions, 0.0, a=1)
    assert served(versions, 100.0) == "a"


def test_that_there_are_two_is_said_once(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    versions = Versions()
    for now in range(5):
        served(versions, now, a=2, b=1)
    [record] = caplog.records
    assert "2 × fill-mask with a/model (version a), 1 × fill-mask with a/model (version b)" in record.getMessage()


def test_what_is_served_has_a_title():
    assert titled(msgspec.structs.replace(DESCRIPTION, revision="abc", version="12")) == (
        "fill-mask with a/model at abc (version 12)"
    )
    assert titled(None) == "nothing"
