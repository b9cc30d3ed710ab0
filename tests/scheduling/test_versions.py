import logging

import msgspec
import pytest

from inference.messaging.messages import Description
from inference.scheduling.versions import RESTART_GRACE_S, Versions, describe
from tests.scheduling.test_host_registry import DESCRIPTION


def serving(**ready: int) -> list[Description]:
    """``a=2``: two ready workers of that version."""
    return [
        msgspec.structs.replace(DESCRIPTION, version=version) for version, count in ready.items() for _ in range(count)
    ]


def served(versions: Versions, now: float, **ready: int) -> str:
    versions.update(serving(**ready), now)
    return versions.served.version if versions.served else ""


def test_no_version_is_served_before_a_worker_is_ready():
    assert served(Versions(), 0.0) == ""


def test_a_worker_that_was_started_with_the_wrong_model_gets_no_requests():
    versions = Versions()
    assert served(versions, 0.0, a=1) == "a"
    assert served(versions, 1.0, a=1, b=1) == "a"
    assert served(versions, 2.0, b=1, a=2) == "a"


def test_a_rolling_change_takes_effect_when_most_workers_have_changed():
    versions = Versions()
    steps = [{"a": 4}, {"a": 3, "b": 1}, {"a": 2, "b": 2}, {"a": 1, "b": 3}, {"b": 4}]
    assert [served(versions, now, **step) for now, step in enumerate(steps)] == ["a", "a", "a", "b", "b"]


def test_a_version_whose_workers_have_stopped_is_replaced_at_once():
    versions = Versions()
    served(versions, 0.0, a=1, b=1)
    assert served(versions, 1.0, b=1) == "b"


def test_a_version_whose_workers_were_lost_is_kept_for_a_while():
    """The workers may be restarted, and those of the other version may be a mistake."""
    versions = Versions()
    served(versions, 0.0, a=1, b=1)
    versions.worker_lost("a", 10.0)
    assert served(versions, 10.0 + RESTART_GRACE_S - 0.1, b=1) == "a"
    assert served(versions, 10.0 + RESTART_GRACE_S, b=1) == "b"


def test_a_version_that_returns_in_time_stays():
    versions = Versions()
    served(versions, 0.0, a=1, b=1)
    versions.worker_lost("a", 10.0)
    assert served(versions, 15.0, a=1, b=1) == "a"


def test_as_many_workers_of_another_version_as_were_lost_do_not_replace_it_and_more_do_at_once():
    versions = Versions()
    served(versions, 0.0, a=2)
    versions.worker_lost("a", 10.0)
    assert served(versions, 10.0, a=1, b=2) == "a"
    versions.worker_lost("a", 11.0)
    assert served(versions, 11.0, b=2) == "a"
    assert served(versions, 12.0, b=3) == "b"


def test_a_worker_that_came_back_is_not_waited_for():
    versions = Versions()
    served(versions, 0.0, a=2)
    versions.worker_lost("a", 10.0)
    served(versions, 10.0, a=1)
    served(versions, 12.0, a=2)
    assert served(versions, 13.0, b=1) == "b", "both have reported that they stop"


def test_what_the_former_version_lost_does_not_keep_the_next_one():
    versions = Versions()
    served(versions, 0.0, a=1)
    versions.worker_lost("a", 10.0)
    assert served(versions, 11.0, b=2) == "b"
    assert served(versions, 12.0, c=1) == "c"


def test_a_lost_worker_of_another_version_delays_nothing():
    versions = Versions()
    served(versions, 0.0, a=1, b=1, c=1)
    versions.worker_lost("c", 1.0)
    assert served(versions, 2.0, b=1) == "b"


def test_the_last_version_is_kept_while_no_worker_is_ready():
    versions = Versions()
    served(versions, 0.0, a=1)
    assert served(versions, 100.0) == "a"


def test_different_versions_are_logged_once(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    versions = Versions()
    for now in range(5):
        served(versions, now, a=2, b=1)
    [record] = caplog.records
    assert "2 × fill-mask with a/model (version a), 1 × fill-mask with a/model (version b)" in record.getMessage()


def test_a_description_in_words():
    assert describe(msgspec.structs.replace(DESCRIPTION, revision="abc", version="12")) == (
        "fill-mask with a/model at abc (version 12)"
    )
    assert describe(None) == "nothing"
