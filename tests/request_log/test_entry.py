from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.request_log.entry import Entry, Refusals, preview, to_row


def entry(number: int = 0, **fields: Any) -> Entry:
    known = {"received_at": 1_800_000_000.25, "transport": "http", "client": "192.0.2.7", "status": "ok", "total_ms": 3}
    return Entry(**{"request_id": f"{number:032x}", **known, **fields})


def refusal(number: int = 0, **fields: Any) -> Entry:
    return entry(number, **{"status": "refused", "code": "overloaded", **fields})


# Which refusals share a row


def test_the_first_refusals_of_a_second_keep_a_row_each():
    refusals = Refusals(limit=3)
    assert [len(refusals.add(refusal(n), now=10.0)) for n in range(3)] == [1, 1, 1]


def test_alike_refusals_beyond_the_limit_share_the_row_of_the_first():
    refusals = Refusals(limit=1)
    assert [len(refusals.add(refusal(n), now=10.9)) for n in range(5)] == [1, 0, 0, 0, 0]
    (shared,) = refusals.close()
    assert (shared.request_id, shared.count) == (refusal(1).request_id, 4)


@pytest.mark.parametrize("difference", [{"code": "draining"}, {"transport": "websocket"}, {"pipeline": "other"}])
def test_refusals_that_differ_do_not_share_a_row(difference: dict[str, str]):
    refusals = Refusals(limit=0)
    refusals.add(refusal(1), now=10)
    refusals.add(refusal(2, **difference), now=10)
    assert [shared.count for shared in refusals.close()] == [1, 1]


def test_a_shared_row_is_complete_when_its_second_is_over():
    refusals = Refusals(limit=1)
    for n in range(3):
        refusals.add(refusal(n), now=10.5)
    assert refusals.over(11.4) == []
    assert [shared.count for shared in refusals.over(11.5)] == [2]
    assert refusals.over(11.5) == []


def test_the_first_refusal_of_the_next_second_completes_the_shared_rows():
    refusals = Refusals(limit=1)
    for n in range(3):
        refusals.add(refusal(n), now=10)
    assert [(row.request_id, row.count) for row in refusals.add(refusal(9), now=12)] == [
        (refusal(1).request_id, 2),
        (refusal(9).request_id, 1),
    ]


def test_a_shared_row_of_several_clients_names_none():
    refusals = Refusals(limit=0)
    for client in ("192.0.2.7", "192.0.2.7", "192.0.2.8"):
        refusals.add(refusal(client=client), now=10)
    assert [shared.client for shared in refusals.close()] == [None]


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 3), st.sampled_from(["overloaded", "draining", "loading"]))))
def test_no_refusal_is_lost_or_counted_twice(arrivals: list[tuple[float, str]]):
    refusals, now, rows = Refusals(limit=2), 0.0, list[Entry]()
    for pause, code in arrivals:
        now += pause
        rows += refusals.add(refusal(code=code), now)
    rows += refusals.close()
    assert sum(row.count for row in rows) == len(arrivals)


# What a row keeps


@pytest.mark.parametrize(
    ("inputs", "mode", "expected"),
    [
        (["test [MASK]"], "none", ""),
        ([], "preview", ""),
        ([], "full", ""),
        (["test [MASK]"], "preview", "test [MASK]"),
        (["one", "two", "three"], "preview", "one (+2 more)"),
        (["x" * 200], "preview", "x" * 200),
        (["x" * 201, "y"], "preview", "x" * 200 + "… (+1 more)"),
        ([{"question": "wer?", "context": "für mich"}], "preview", '{"question": "wer?", "context": "für mich"}'),
        ([None], "preview", "null"),
        ([[1, 2.5, True]], "preview", "[1, 2.5, true]"),
        ([["x" * 500]], "preview", '["' + "x" * 198 + "…"),
        (["one", {"a": None}], "full", '["one", {"a": null}]'),
        (["a\0b"], "preview", "a\ufffdb"),
        (["a\0b"], "full", '["a\\u0000b"]'),
        (["a\ud800b"], "preview", "a?b"),
        (["a\ud800b"], "full", '["a?b"]'),
        ([b"bytes"], "preview", "\"b'bytes'\""),
        ([10**5000], "preview", "(not shown)"),
        ([10**5000, "b"], "full", "(not shown) (+1 more)"),
    ],
)
def test_preview(inputs: list[object], mode: str, expected: str):
    assert preview(inputs, mode) == expected


@pytest.mark.parametrize("mode", ["preview", "full"])
def test_a_preview_of_deep_nesting_is_harmless(mode: str):
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert preview([deep], mode)


texts = st.text(st.characters(exclude_categories=()), max_size=20)  # lone surrogates and NUL too
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.lists(json_values, max_size=3), st.sampled_from(["preview", "full"]))
def test_a_preview_of_any_json_can_be_stored(inputs: list[object], mode: str):
    assert "\0" not in preview(inputs, mode)
    preview(inputs, mode).encode()


def test_texts_are_cut_to_their_columns():
    row = to_row(entry(request_id="r" * 99, pipeline="p" * 999, code="c" * 99, worker="w" * 99, preview="i" * 9999))
    assert [len(text) for text in (row.request_id, row.pipeline, row.code, row.worker)] == [64, 200, 32, 32]
    assert len(row.preview) == 9999


def test_no_text_keeps_what_a_database_refuses():
    row = to_row(entry(message="a\0b\udfffc", worker="\0"))
    assert (row.message, row.worker) == ("a\ufffdb?c", "\ufffd")


@pytest.mark.parametrize(
    ("client", "stored"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:DB8::1", "2001:db8::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("testclient", None),
        ("", None),
        (None, None),
    ],
)
def test_an_invalid_client_address_becomes_null(client: str | None, stored: str | None):
    assert to_row(entry(client=client)).client == stored
