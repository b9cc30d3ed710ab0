"""What is read of a form, and what is said of one that is not right."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.api.dialects.openai.forms import plain, read_form
from inference.errors import InferenceError, Malformed, UnsupportedMediaType
from tests.api.dialects.native.test_native import steady
from tests.api.dialects.openai.forms import BOUNDARY, CONTENT_TYPE, form, part

DATA = bytes(range(256)) * 1000 + b"\r\n--" + BOUNDARY[:-1].encode()
FILE = part("file", DATA, filename="a.wav", more="\r\nContent-Type: audio/wav")


def test_texts_lists_and_the_file_as_they_were_sent():
    parts = [part("model", "söme"), FILE, part("include[]", "a"), part("include[]", "b"), part("language", "")]
    for order in (parts, parts[::-1]):
        fields, file = read_form(form(order), CONTENT_TYPE)
        assert file == DATA
        assert {name: sorted(value) for name, value in fields.items()} == {
            "model": sorted("söme"),
            "include": ["a", "b"],
        }
    assert read_form(form([FILE]), f'Multipart/Form-Data;boundary="{BOUNDARY}"').file == DATA
    assert read_form(form([part("file", b"", filename="a.wav")]), CONTENT_TYPE).file == b""


@pytest.mark.parametrize(
    ("body", "content_type", "sentence"),
    [
        (b"", CONTENT_TYPE, "'file' is not there; send one recording with the name of its file"),
        (form([FILE, FILE]), CONTENT_TYPE, "'file' is 2 files; send one recording"),
        (form([part("file", "a")]), CONTENT_TYPE, "'file' is a text, not a file; send one recording"),
        (
            form([part("sound", b"a", filename="a")]),
            CONTENT_TYPE,
            "'sound' is a file; the recording must be in 'file'.",
        ),
        (form([FILE, *[part("model", "a")] * 2]), CONTENT_TYPE, "'model' is given 2 times; send it once."),
        (form([FILE]), "multipart/form-data", "The form cannot be read: Invalid boundary"),
        (form([part(f"a{n}", "") for n in range(1500)]), CONTENT_TYPE, "The form cannot be read: The number of"),
        (form([part("a", b"a", filename="a")] * 150), CONTENT_TYPE, "The form cannot be read: The number of files"),
        (form([FILE]), "application/json", "The body is application/json; send a form (multipart/form-data)"),
        (form([FILE]), "", "The body is of no known type; send a form (multipart/form-data)"),
    ],
    ids=range(10),
)
def test_what_is_wrong_is_said(body: bytes, content_type: str, sentence: str):
    with pytest.raises(InferenceError) as raised:
        read_form(body, content_type)
    assert raised.value.message.startswith(sentence)
    assert raised.value.message[-1] in ".…"


def test_texts_of_too_many_bytes_are_not_read():
    with pytest.raises(Malformed):
        read_form(form([FILE, part("prompt", b"a" * 3_000_000)]), CONTENT_TYPE)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("0.5", 0.5), ("True", True), ("false", False), ("nan", "nan"), ("1e999", "1e999"), ("a", "a")],
)
def test_plain_values(text: str, value: object):
    assert plain(text) == value


@steady
@given(st.lists(st.one_of(st.binary(max_size=20), st.just(FILE), st.just(part("model", "a")))), st.binary(max_size=9))
def test_any_body_is_read_or_refused(parts: list[bytes], more: bytes):
    body = form(parts)
    with suppress(Malformed, UnsupportedMediaType, InferenceError):
        assert read_form(body[: len(body) // 2] + more + body[len(body) // 2 :], CONTENT_TYPE).file is not None
