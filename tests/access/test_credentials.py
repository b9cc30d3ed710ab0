"""Which keys a request offers, and that nothing behind the check sees them."""

from typing import Any

import pytest

from inference.access.credentials import offered, take

KEY = b"inf_" + 40 * b"a"
OTHER = b"inf_" + 40 * b"b"
HOST = (b"host", b"localhost")


def scope_of(*headers: tuple[bytes, bytes], subprotocols: list[str] | None = None) -> dict[str, Any]:
    return {"headers": [HOST, *headers], **({} if subprotocols is None else {"subprotocols": subprotocols})}


@pytest.mark.parametrize(
    ("headers", "keys"),
    [
        ([], []),
        ([(b"authorization", b"Bearer " + KEY)], [KEY]),
        ([(b"authorization", b"bearer   " + KEY + b" ")], [KEY]),
        ([(b"x-api-key", KEY)], [KEY]),
        ([(b"x-api-key", KEY), (b"authorization", b"Bearer " + KEY)], [KEY]),
        ([(b"x-api-key", KEY), (b"authorization", b"Bearer " + OTHER)], [KEY, OTHER]),
        ([(b"authorization", b"Bearer " + KEY), (b"authorization", b"Bearer " + OTHER)], [KEY, OTHER]),
        ([(b"authorization", b"Bearer")], []),
        ([(b"authorization", b"Bearer ")], []),
        ([(b"x-api-key", b" ")], []),
        ([(b"x-api-key", b"\xff\xfe")], [b"\xff\xfe"]),
        ([(b"sec-websocket-protocol", b"inference.v1, inference.key." + KEY)], [KEY]),
        ([(b"sec-websocket-protocol", b"inference%2Ekey." + KEY)], [KEY]),
    ],
)
def test_the_keys_of_a_request_are_taken_out_of_it(headers: list[tuple[bytes, bytes]], keys: list[bytes]):
    scope = scope_of(*headers)
    given = scope["headers"]
    assert take(scope) == {key.decode("latin-1") for key in keys}
    assert HOST in scope["headers"]
    assert not any(key in value for key in (KEY, OTHER) for _, value in scope["headers"])
    assert given == [HOST, *headers], "the server's own list is as it was"


def test_other_credentials_and_subprotocols_are_not_ours():
    basic = (b"authorization", b"Basic dTpw")
    protocols = (b"sec-websocket-protocol", b"graphql-ws, inference.key." + KEY + b",inference.v1")
    names = ["graphql-ws", f"inference.key.{KEY.decode()}", "inference.v1"]
    scope = scope_of(basic, protocols, subprotocols=names)
    assert take(scope) == {KEY.decode()}
    assert scope["headers"] == [HOST, basic, (b"sec-websocket-protocol", b"graphql-ws, inference.v1")]
    assert scope["subprotocols"] == ["graphql-ws", "inference.v1"]


def test_a_key_alone_leaves_no_subprotocol():
    scope = scope_of(
        (b"sec-websocket-protocol", b"inference.key." + KEY), subprotocols=[f"inference.key.{KEY.decode()}"]
    )
    take(scope)
    assert scope == {"headers": [HOST], "subprotocols": []}


@pytest.mark.parametrize("offered_too", ["", ", inference.key."])
def test_subprotocols_that_are_no_latin_1_are_read(offered_too: str):
    """Servers decode percent signs in this header."""
    value = b"%E2%82%AC" + offered_too.encode() + (KEY if offered_too else b"")
    assert take(scope_of((b"sec-websocket-protocol", value))) == ({KEY.decode()} if offered_too else set())


def test_a_head_without_a_scope_is_read_alike():
    headers = {b"authorization": "Bearer a", b"x-api-key": "b", b"sec-websocket-protocol": "inference.key.c"}
    assert offered(lambda name: headers.get(name, "")) == {"a", "b"}
    assert not offered(lambda name: "")
