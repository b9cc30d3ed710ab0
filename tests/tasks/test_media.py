"""Images and recordings: what they are known by, and the form of an input that is one."""

import base64
from typing import Any

import pytest

from inference.errors import EmptyInput, Invalid, Malformed, PayloadTooLarge
from inference.serving.validation import validate_media
from inference.tasks.inputs import InputForm, MediaInput, MediaQuestionInput, TextInput
from inference.tasks.inputs.media import PIECE
from inference.tasks.media import EXAMPLE_IMAGE, EXAMPLE_RECORDING, Media, media_type
from tests.serving.test_validation import describe

PNG = base64.b64decode(EXAMPLE_IMAGE)
WAV = base64.b64decode(EXAMPLE_RECORDING)
IMAGE, AUDIO, QUESTION = MediaInput("image"), MediaInput("audio"), MediaQuestionInput("image")


def checked(form: InputForm, value: Any) -> Any:
    return form.checked("The input", value, describe())


def refusal(form: InputForm, value: Any) -> str:
    with pytest.raises((Invalid, EmptyInput, Malformed)) as raised:
        checked(form, value)
    return raised.value.message


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"BM12", "image/bmp"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (WAV, "audio/wav"),
        (b"RIFF\0\0\0\0AVI ", ""),
        (b"fLaC\0", "audio/flac"),
        (b"OggS\0", "audio/ogg"),
        (b"ID3\4", "audio/mpeg"),
        (b"\xff\xfb\x90", "audio/mpeg"),
        (b"\xff\xf3\x90", "audio/mpeg"),
        (b"\xff", ""),
        (b"\xff\xfe a text in UTF-16", ""),
        (b"%PDF-1.7", ""),
        (b"", ""),
    ],
)
def test_media_are_known_by_their_first_bytes(data: bytes, kind: str):
    assert media_type(data) == kind


@pytest.mark.parametrize(
    "value",
    [
        Media(PNG, "image/png"),
        Media(PNG),
        Media(PNG, "image/jpeg"),  # what it is counts, not what it is called
        EXAMPLE_IMAGE,
        f"data:image/png;base64,{EXAMPLE_IMAGE}",
        base64.encodebytes(PNG).decode(),
    ],
    ids=["declared", "undeclared", "misdeclared", "base64", "data URI", "broken lines"],
)
def test_workers_get_the_bytes_of_an_image(value: Any):
    assert checked(IMAGE, value) == PNG


def test_long_base64_is_decoded_in_pieces():
    large = PNG + bytes(range(256)) * (PIECE // 128)
    assert len(large) > 2 * PIECE
    assert checked(IMAGE, base64.b64encode(large).decode()) == large


FORMATS = "PNG, JPEG, WebP, GIF or BMP"


@pytest.mark.parametrize(
    ("form", "value", "message"),
    [
        (IMAGE, "a text", f"The input is a text that is not base64; send an image ({FORMATS}) in base64."),
        (IMAGE, "YWJj*", f"The input is a text that is not base64; send an image ({FORMATS}) in base64."),
        (IMAGE, "é", f"The input is a text that is not base64; send an image ({FORMATS}) in base64."),
        (IMAGE, 7, f"The input is a number; it must be an image ({FORMATS}), in JSON as base64."),
        (IMAGE, None, f"The input is null; it must be an image ({FORMATS}), in JSON as base64."),
        (IMAGE, {"image": ""}, f"The input is an object; it must be an image ({FORMATS}), in JSON as base64."),
        (IMAGE, "", "The input is empty; send an image."),
        (IMAGE, Media(b"", "image/png"), "The input is empty; send an image."),
        (
            IMAGE,
            "YWJj",
            f"The input must be an image ({FORMATS}); the bytes that were sent are none of a known format.",
        ),
        (IMAGE, EXAMPLE_RECORDING, f"The input must be an image ({FORMATS}); the bytes that were sent are audio/wav."),
        (
            AUDIO,
            Media(PNG, "audio/wav"),
            "The input must be a recording (WAV, FLAC, Ogg or MP3); the bytes that were sent are image/png.",
        ),
        (
            QUESTION,
            EXAMPLE_IMAGE,
            'The input is a text; it must be an object such as {"image": "…base64…", "question": "a text"}.',
        ),
        (
            QUESTION,
            {"image": EXAMPLE_IMAGE},
            'The input is not like {"image": "…base64…", "question": "a text"}; send just these fields.',
        ),
        (QUESTION, {"image": EXAMPLE_IMAGE, "question": " "}, "The question of the input is empty; send a text."),
        (
            QUESTION,
            {"image": 1, "question": "What?"},
            f"The image of the input is a number; it must be an image ({FORMATS}), in JSON as base64.",
        ),
        (TextInput(), Media(PNG, "image/png"), "The input is image/png; it must be a text."),
        (TextInput(), Media(PNG), "The body is not UTF-8: byte 0 is 0x89."),
    ],
)
def test_what_is_wrong_is_said(form: InputForm, value: Any, message: str):
    assert refusal(form, value) == message


def test_a_question_about_an_image_has_both():
    given = {"image": EXAMPLE_IMAGE, "question": "What is this?"}
    assert checked(QUESTION, given) == {"image": PNG, "question": "What is this?"}
    assert QUESTION.texts(given) == ["What is this?"]
    assert QUESTION.changed(given, str.upper) == {"image": EXAMPLE_IMAGE, "question": "WHAT IS THIS?"}


@pytest.mark.parametrize(
    ("form", "value", "shown"),
    [
        (IMAGE, Media(PNG, "image/jpeg"), f"(image/png, {len(PNG)} bytes)"),
        (IMAGE, Media(b"?", "image/tiff"), "(image/tiff, 1 bytes)"),
        (IMAGE, Media(b"?"), "(unknown type, 1 bytes)"),
        (IMAGE, EXAMPLE_IMAGE, f"(base64, {len(EXAMPLE_IMAGE)} bytes)"),
        (IMAGE, 7, 7),
        (QUESTION, {"image": "ab", "question": "What?"}, {"image": "(base64, 2 bytes)", "question": "What?"}),
        (QUESTION, ["neither"], ["neither"]),
    ],
)
def test_logs_have_what_it_was_and_never_the_bytes(form: InputForm, value: Any, shown: Any):
    assert form.shown(value) == shown


def test_media_alone_or_within_an_input_have_a_limit_of_their_own():
    validate_media([PNG, {"image": PNG, "question": "a longer text"}, "a longer text"], len(PNG))
    for value in (PNG, {"image": PNG, "question": "?"}):
        with pytest.raises(PayloadTooLarge, match=rf"An image or recording has {len(PNG)} bytes; 8 are allowed\."):
            validate_media([b"1", value], 8)
