from typing import Any

import pytest

from inference.errors import EmptyInput, Invalid
from inference.tasks.inputs import DocumentInput
from inference.tasks.inputs.document import DOCUMENT
from inference.tasks.media import EXAMPLE_IMAGE, Media
from inference.tasks.parameters import WORD_BOXES
from tests.serving.test_validation import describe

FORM = DocumentInput()
WORDS = [["a", [0, 0, 10, 10]]]
ONLY = f"is not like {DOCUMENT}; send just these fields, of which it needs the question."


@pytest.mark.parametrize("more", [{}, {"image": EXAMPLE_IMAGE}, {"image": None}])
def test_workers_get_question_and_words(more: dict[str, Any]):
    given = {"question": "a?", "word_boxes": WORDS}
    assert FORM.checked("The input", given | more, describe()) == given
    assert FORM.checked("The input", {"question": "a?", "word_boxes": None} | more, describe()) == {"question": "a?"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a text", f"The input is a text; it must be an object such as {DOCUMENT}."),
        (Media(b"\xff\xd8\xff"), f"The input is an image or a recording; it must be an object such as {DOCUMENT}."),
        ({"image": EXAMPLE_IMAGE}, f"The input {ONLY}"),
        ({"question": "a?", "words": []}, f"The input {ONLY}"),
        ({"question": 1}, "The question of the input is a number; it must be a text."),
        ({"question": " "}, "The question of the input is empty; send a text."),
        ({"question": "a?", "word_boxes": []}, f"The word_boxes of the input must be {WORD_BOXES}."),
        (
            {"question": "a?", "image": "YQ=="},
            "The image of the input must be an image (PNG, JPEG, WebP, GIF or BMP); "
            "the bytes that were sent are none of a known format.",
        ),
    ],
    ids=str,
)
def test_anything_else_is_refused(value: Any, message: str):
    with pytest.raises((Invalid, EmptyInput)) as raised:
        FORM.checked("The input", value, describe())
    assert raised.value.message == message


def test_logs_have_no_image():
    shown = FORM.shown({"question": "a?", "image": EXAMPLE_IMAGE})
    assert shown == {"question": "a?", "image": f"(base64, {len(EXAMPLE_IMAGE)} bytes)"}
    assert FORM.shown("a text") == "a text"
