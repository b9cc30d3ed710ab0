"""Chats with images: answers are those of the stock pipeline."""

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inference.backends.base import LoadFailed
from inference.errors import EmptyInput, Invalid
from inference.tasks.inputs import ImageChatInput
from inference.tasks.inputs.image_chat import MESSAGE, MOST_IMAGES
from inference.tasks.media import EXAMPLE_IMAGE
from tests import tiny_media_models
from tests.backends.transformers.running import direct, load, run
from tests.serving.test_validation import describe

GREEDY: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_media_models.image_text_to_text(tmp_path_factory.mktemp("image_chat") / "model")


def picture(colour: str) -> bytes:
    Image.new("RGB", (40, 30), colour).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


def message(*parts: bytes | str, role: str = "user") -> dict[str, Any]:
    content = [
        {"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "image": part} for part in parts
    ]
    return {"role": role, "content": content}


CHATS = [
    [message(picture("red"), "What is this?")],
    [message(picture("blue"), "What is this?")],
    [message("You are brief.", role="system"), message("Which one is red?", picture("red"), picture("blue"))],
    [message("No image at all.")],
]


def test_answers_are_those_of_the_stock_pipeline(folder: Path) -> None:
    """One that is damaged harms no other, and what is drawn depends on the seed alone."""
    damaged = [message(picture("red")[:60], "What is this?")]
    drawn = {"max_new_tokens": 8, "do_sample": True, "seed": 3}
    asked = [*((chat, GREEDY) for chat in CHATS), (damaged, GREEDY), *[(CHATS[0], drawn)] * 2]
    *answers, broken, first, second = run(load(folder, task="image-text-to-text"), asked)

    stock = direct(folder, "image-text-to-text")
    for answer, chat in zip(answers, CHATS, strict=True):
        messages = [
            each
            | {
                "content": [
                    part | {"image": Image.open(io.BytesIO(part["image"])).convert("RGB")} if "image" in part else part
                    for part in each["content"]
                ]
            }
            for each in chat
        ]
        [expected] = stock(text=messages, return_full_text=False, generate_kwargs=GREEDY)
        assert answer == [{"generated_text": expected["generated_text"]}]
    assert len({answer[0]["generated_text"] for answer in answers}) == len(CHATS)
    assert isinstance(broken, Invalid)
    assert first == second


def test_a_chat_that_is_too_long_is_refused(folder: Path) -> None:
    [answer] = run(load(folder, task="image-text-to-text"), [([message("river " * 600)], GREEDY)])
    assert isinstance(answer, Invalid)


def test_a_model_without_a_chat_template_is_refused(folder: Path) -> None:
    template = folder / "chat_template.jinja"
    kept = template.read_text()
    template.unlink()
    try:
        with pytest.raises(LoadFailed, match="has no chat template; image-text-to-text needs a model that answers"):
            load(folder, task="image-text-to-text")
    finally:
        template.write_text(kept)


# The form of an input


def user(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


def checked(value: Any) -> Any:
    return ImageChatInput().checked("The input", value, describe())


@pytest.mark.parametrize(
    "image",
    [
        {"type": "image", "image": EXAMPLE_IMAGE},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{EXAMPLE_IMAGE}"}},
    ],
)
def test_images_become_bytes(image: Any) -> None:
    given = [{"role": "system", "content": "Brief."}, *user([image, {"type": "text", "text": "What?"}])]
    assert checked(given) == [message("Brief.", role="system"), message(base64.b64decode(EXAMPLE_IMAGE), "What?")]
    assert EXAMPLE_IMAGE not in str(ImageChatInput().shown(given))
    assert ImageChatInput().texts(given) == ["Brief.", "What?"]


NEITHER = f"Message 0 of the input has a part that is neither a text nor an image; it must be like {MESSAGE}."


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("a text", f"The input is a text; it must be a list of messages such as {MESSAGE}."),
        ([{"role": "user"}], f"Message 0 of the input is not like {MESSAGE}; send just these fields."),
        (
            user([{"type": "video"}]),
            "Message 0 of the input has a part that is neither a text nor an image; it must be like " + MESSAGE + ".",
        ),
        (
            user(7),
            "Message 0 of the input has a part that is neither a text nor an image; it must be like " + MESSAGE + ".",
        ),
        (
            user([{"type": "image_url", "image_url": {"url": "http://localhost/cat.png"}}]),
            "An image in message 0 of the input is a text that is not base64; "
            "send an image (PNG, JPEG, WebP, GIF or BMP) in base64.",
        ),
        (
            user([{"type": "image", "image": EXAMPLE_IMAGE}] * (MOST_IMAGES + 1)),
            f"The input has {MOST_IMAGES + 1} images; it may have {MOST_IMAGES}.",
        ),
        (user(" "), "The input has neither an image nor a text; send at least one."),
    ],
)
def test_what_is_wrong_is_said(value: Any, said: str) -> None:
    with pytest.raises((Invalid, EmptyInput)) as raised:
        checked(value)
    assert raised.value.message == said
