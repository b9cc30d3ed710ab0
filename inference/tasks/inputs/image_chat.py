"""A chat with images in its messages."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from inference.errors import EmptyInput, Invalid
from inference.tasks.inputs.base import InputForm, Model, check_characters, part_of
from inference.tasks.inputs.chat import LONGEST_ROLE, MOST_MESSAGES, is_chat
from inference.tasks.inputs.media import decoded, shown
from inference.tasks.schemas import BASE64, TEXT, Schema, fields, items, one_of, text_schema
from inference.tasks.values import json_type

MESSAGE = (
    '{"role": "user", "content": [{"type": "image", "image": "…base64…"}, {"type": "text", "text": "What is this?"}]}'
)
MOST_IMAGES = 8


@dataclass(frozen=True)
class ImageChatInput(InputForm):
    """Messages such as ``MESSAGE``; a content may be a text, too. Workers get bytes in the place of base64.

    The parts are those of transformers' chat templates; ``image_url`` with a ``data:`` URI, as OpenAI's clients send
    it, is understood as well.
    """

    form = "image_chat"
    plain = False
    media = True

    def checked(self, where: str, value: Any, model: Model, *, cut: bool = False) -> Any:
        if not is_chat(value):
            raise Invalid(f"{where} is {json_type(value)}; it must be a list of messages such as {MESSAGE}.")
        if len(value) > MOST_MESSAGES:
            raise Invalid(f"{where} has {len(value)} messages; it may have {MOST_MESSAGES}.")
        messages = [_message(f"Message {number} of {part_of(where)}", each) for number, each in enumerate(value)]
        images = sum(part["type"] == "image" for part in _parts(messages))
        if images > MOST_IMAGES:
            raise Invalid(f"{where} has {images} images; it may have {MOST_IMAGES}.")
        texts = self.texts(messages)
        if not images and not any(text.strip() for text in texts):
            raise EmptyInput(f"{where} has neither an image nor a text; send at least one.")
        check_characters(where, [*texts, *(message["role"] for message in messages)], model, cut=cut)
        return messages

    def schema(self) -> Schema:
        part = one_of(
            fields(type={"const": "text"}, text={"type": "string"}), fields(type={"const": "image"}, image=BASE64)
        )
        message = fields(role=text_schema(LONGEST_ROLE), content=one_of(TEXT, items(part)))
        return items(message, 1, MOST_MESSAGES)

    def texts(self, value: Any) -> Sequence[str]:
        return [part["text"] for part in _parts(value) if part["type"] == "text"]

    def changed(self, value: Any, change: Callable[[str], str]) -> Any:
        def change_part(part: dict[str, Any]) -> dict[str, Any]:
            return part | {"text": change(part["text"])} if part["type"] == "text" else part

        return [message | {"content": [change_part(part) for part in _content(message)]} for message in value]

    def shown(self, value: Any) -> Any:
        if not is_chat(value):
            return shown(value)
        return [
            message | {"content": [_shown_part(part) for part in content]}
            if isinstance(content := message.get("content"), list)
            else message
            for message in value
        ]


def _message(where: str, message: dict[str, Any]) -> dict[str, Any]:
    """With all parts as objects, images as bytes. Raises ``Invalid``, ``EmptyInput``."""
    role = message.get("role")
    if message.keys() != {"role", "content"} or not isinstance(role, str) or not 0 < len(role) <= LONGEST_ROLE:
        raise Invalid(f"{where} is not like {MESSAGE}; send just these fields.")
    return {"role": role, "content": [_part(where, part) for part in _content(message)]}


def _part(where: str, part: Any) -> dict[str, Any]:
    match part:
        case {"type": "text", "text": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "image", "image": image} | {"type": "image_url", "image_url": {"url": image}}:
            return {"type": "image", "image": decoded(f"An image in {part_of(where)}", image, "image")}
    raise Invalid(f"{where} has a part that is neither a text nor an image; it must be like {MESSAGE}.")


def _content(message: dict[str, Any]) -> list[Any]:
    """The parts of a message; a text alone is one."""
    content = message["content"]
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return content if isinstance(content, list) else [content]


def _parts(messages: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for message in messages:
        yield from _content(message)


def _shown_part(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: value if name in ("type", "text") else _shown_image(value) for name, value in part.items()}
    return part


def _shown_image(value: Any) -> Any:
    """``shown``, for an image or an object with the address of one."""
    return {name: shown(each) for name, each in value.items()} if isinstance(value, dict) else shown(value)
