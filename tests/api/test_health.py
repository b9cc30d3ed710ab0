"""Who may read metrics."""

from types import SimpleNamespace
from typing import Any

import pytest

from inference.access.checking import Access
from inference.access.key_table import KnownKey
from inference.access.keys import make
from inference.access.principal import ANYONE, Principal
from inference.api.health import MetricsExport
from inference.conf import Conf
from inference.errors import Forbidden, Unauthorized


def reader(conf: Conf, address: str | None, *keys: str, known: tuple[KnownKey, ...] = ()) -> Any:
    consumer = MetricsExport()
    access = Access(conf)
    access.table.replace(known)
    consumer.service = SimpleNamespace(conf=conf, access=access)  # type: ignore[assignment]
    consumer.scope = {"client": (address, 1) if address else None}
    return consumer.identify(frozenset(keys))


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("unknown", False),
        (None, False),
    ],
)
def test_loopback_is_this_machine(address: str | None, *, allowed: bool):
    found = reader(Conf(metrics_access="loopback"), address)
    assert found is ANYONE if allowed else isinstance(found, Forbidden)


def test_a_key_that_may_manage_reads_metrics_from_anywhere():
    new = make()
    known = KnownKey(bytes.fromhex(new.digest), float("inf"), Principal(key=new.prefix, manages=True))
    conf = Conf(access="keys")
    assert reader(conf, "10.0.0.1", new.key, known=(known,)) == known.principal
    assert isinstance(reader(conf, "127.0.0.1"), Unauthorized)
    plain = known._replace(principal=Principal(key=new.prefix))
    assert isinstance(reader(conf, "10.0.0.1", new.key, known=(plain,)), Forbidden)


def test_metrics_are_open_where_access_is_unless_a_setting_says_otherwise():
    assert [Conf().metrics_access, Conf(access="keys").metrics_access] == ["open", "key"]
    assert Conf(access="keys", metrics_access="open").metrics_access == "open"
    assert reader(Conf(), "10.0.0.1") is ANYONE
