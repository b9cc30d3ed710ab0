"""Who asks, with a controlled clock and without a database."""

import logging
import math
from dataclasses import replace
from typing import Any

import pytest

from inference.access.checking import Access
from inference.access.credentials import NONE
from inference.access.key_table import KnownKey
from inference.access.keys import make
from inference.access.principal import ANYONE, Principal
from inference.access.wrong_keys import MOST_WRONG
from inference.conf import Conf
from inference.errors import Forbidden, InferenceError, Loading, Unauthorized
from inference.polling.stamp_poll import StampPoll

KEYS = Conf(access="keys")


class Door:
    """An ``Access`` with keys that the test makes."""

    def __init__(self, conf: Conf = KEYS) -> None:
        self.now = 1000.0
        self.access = Access(conf, lambda: self.now)
        self.known: dict[str, KnownKey] = {}
        self.access.table.replace([])

    def make(self, expires_at: float = math.inf, **fields: Any) -> str:
        new = make()
        principal = Principal(**{"owner": "acme", "key": new.prefix} | fields)
        self.known[new.key] = KnownKey(bytes.fromhex(new.digest), expires_at, principal)
        self.access.table.replace(self.known.values())
        return new.key

    def revoke(self, key: str) -> None:
        del self.known[key]
        self.access.table.replace(self.known.values())
        self.access.stop_ended()

    def ask(self, *keys: str, address: str = "a") -> Principal | InferenceError:
        return self.access.caller(frozenset(keys), lambda: address)

    def principal(self, key: str) -> Principal:
        found = self.ask(key)
        assert isinstance(found, Principal)
        return found


def code(found: Principal | InferenceError) -> int:
    return found.status if isinstance(found, InferenceError) else 200


def test_a_key_says_who_asks():
    door = Door()
    key, other = door.make(owner="acme"), door.make(owner="other")
    assert door.principal(key) == Principal(owner="acme", key=key[4:12])
    assert door.principal(other).owner == "other"


def test_without_one_key_that_works_nobody_asks():
    door = Door()
    key, other = door.make(), door.make()
    wrong_secret, wrong_prefix = key[:-1] + "~", f"inf_{other[4:12]}{key[12:]}"
    for offered in ([], [""], [key, other], [wrong_secret], [wrong_prefix], [key + "a"], [key.upper()], ["x" * 10_000]):
        found = door.ask(*offered)
        assert isinstance(found, Unauthorized), offered
        assert all(secret[12:] not in found.message for secret in (key, other))


def test_a_key_stops_when_its_time_has_come_without_being_read_again():
    door = Door()
    key = door.make(expires_at=1010.0)
    principal = door.principal(key)
    door.now = 1010.0
    assert code(door.ask(key)) == 401
    assert door.access.current(principal) is None


def test_before_the_keys_are_read_nobody_is_refused_for_good():
    access = Access(KEYS)
    found = access.caller(frozenset({make().key}), lambda: "a")
    assert isinstance(found, Loading)
    assert (found.status, found.retry_after_s) == (503, 1)
    assert access.unready
    access.table.replace([])
    assert not access.unready


def test_open_access_reads_no_key():
    access = Access(Conf())
    assert access.caller(frozenset({"dummy", "other"}), lambda: "a") is ANYONE
    assert access.caller(NONE, lambda: "a") is ANYONE
    assert not access.unready
    access.start(StampPoll())  # without an event loop or a database


def test_managing_needs_a_key_that_may_also_with_open_access():
    door = Door(Conf(metrics_access="key"))
    key, managing = door.make(), door.make(manages=True)

    def manager(*keys: str) -> Principal | InferenceError:
        return door.access.manager(frozenset(keys), lambda: "a")

    assert code(manager(managing)) == 200
    assert isinstance(manager(key), Forbidden)
    assert code(manager()) == 401


def test_many_wrong_keys_from_an_address_have_to_wait_and_right_ones_do_not(caplog: pytest.LogCaptureFixture):
    door = Door()
    key = door.make()
    with caplog.at_level(logging.WARNING):
        statuses = [code(door.ask(make().key)) for _ in range(MOST_WRONG + 30)]
    assert statuses == MOST_WRONG * [401] + 30 * [429]
    assert code(door.ask(key)) == 200
    assert code(door.ask()) == 401, "no key is no guess"
    assert code(door.ask(make().key, address="b")) == 401
    assert len(caplog.records) == 1
    assert "inf_" not in caplog.text


def test_what_is_under_way_with_a_key_is_stopped_when_it_is_revoked():
    door = Door()
    key, other = door.make(), door.make()
    stopped: list[str] = []
    uses = [
        door.access.use(door.principal(each), lambda name=name: stopped.append(name))  # type: ignore[misc]
        for each, name in [(key, "socket"), (key, "request"), (key, "ended"), (other, "of another")]
    ]
    assert all(uses)
    uses[2].end()  # type: ignore[union-attr]
    principal = door.principal(key)
    door.revoke(key)
    assert stopped == ["socket", "request"]
    assert [isinstance(use.error, Unauthorized) for use in uses if use] == [True, True, False, False]
    with pytest.raises(Unauthorized):
        door.access.use(principal, lambda: None)
    for use in uses:
        assert use
        use.end()
        use.end()  # twice changes nothing
    assert not [*door.access._open]


def test_expired_keys_are_noticed_while_something_is_under_way():
    door = Door()
    stopped: list[str] = []
    door.access.use(door.principal(door.make(expires_at=1001.0)), lambda: stopped.append("stopped"))
    door.access.stop_ended()
    assert not stopped
    door.now = 1001.0
    door.access.stop_ended()
    door.access.stop_ended()
    assert stopped == ["stopped"]


def test_code_of_this_process_has_no_key_and_is_not_stopped():
    door = Door()
    assert door.access.use(ANYONE, lambda: None) is None
    assert door.access.current(ANYONE) is ANYONE


def test_a_socket_learns_what_its_key_may_now():
    door = Door()
    key = door.make()
    before = door.principal(key)
    known = door.known[key]
    door.known[key] = known._replace(principal=replace(known.principal, pipelines=frozenset({"chat"})))
    door.access.table.replace(door.known.values())
    assert door.access.current(before) == replace(before, pipelines=frozenset({"chat"}))


def test_which_keys_were_used_is_told_once():
    door = Door()
    key, _unused = door.make(), door.make()
    door.ask(key)
    door.ask(key)
    door.ask(make().key)
    assert door.access.table.take_used() == [key[4:12]]
    assert door.access.table.take_used() == []
