import pytest

from inference.api.scope import peer
from inference.scheduling.calls import LOCAL, Peer


def test_a_peer_is_an_address_and_one_of_its_connections():
    assert peer({"client": ["10.0.0.1", 4711]}) == Peer("10.0.0.1", 4711)


def test_addresses_of_one_ipv6_network_are_one_user_s():
    one, other, far = (peer({"client": [f"2001:db8:0:{end}", 1]}).owner for end in ("1::1", "1:ffff::2%eth0", "2::1"))
    assert one == other != far


@pytest.mark.parametrize("address", ["::ffff:1.2.3.4", "::FFFF:102:304", "::ffff:1.2.3.4%eth0"])
def test_an_ipv4_address_in_ipv6_notation_is_that_address(address: str):
    assert peer({"client": [address, 1]}) == Peer("1.2.3.4", 1)


@pytest.mark.parametrize("scope", [{}, {"client": None}])
def test_without_an_address_all_are_one_peer(scope: dict[str, None]):
    assert peer(scope) is LOCAL


def test_what_a_proxy_says_is_taken_as_it_is():
    assert peer({"client": ["unknown:1", 0]}) == Peer("unknown:1", 0)
