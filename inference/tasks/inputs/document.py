"""A question about a page, and the words on it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from inference.errors import Invalid
from inference.tasks.inputs.base import InputForm, Model, check_text, part_of
from inference.tasks.inputs.media import decoded, shown
from inference.tasks.parameters import WORD_BOXES
from inference.tasks.schemas import BASE64, TEXT, Schema, fields
from inference.tasks.values import json_type

DOCUMENT = '{"question": "a text", "word_boxes": [["a word", [0, 0, 100, 20]]], "image": "…base64…"}'
FIELDS = ("question", "word_boxes", "image")


@dataclass(frozen=True)
class DocumentInput(InputForm):
    """Such as ``DOCUMENT``; words may be in the parameters instead. Models read the words, so workers get no image."""

    form = "document"
    plain = False
    media = True

    def checked(self, where: str, value: Any, model: Model, *, cut: bool = False) -> Any:
        if not isinstance(value, dict):
            raise Invalid(f"{where} is {json_type(value)}; it must be an object such as {DOCUMENT}.")
        if "question" not in value or not value.keys() <= set(FIELDS):
            raise Invalid(f"{where} is not like {DOCUMENT}; send just these fields, of which it needs the question.")
        check_text(f"The question of {part_of(where)}", value["question"], model)
        given = {name: each for name, each in value.items() if each is not None}
        if "image" in given:
            decoded(f"The image of {part_of(where)}", given.pop("image"), "image")
        if "word_boxes" in given and not WORD_BOXES.accepts(given["word_boxes"]):
            raise Invalid(f"The word_boxes of {part_of(where)} must be {WORD_BOXES}.")
        return given

    def schema(self) -> Schema:
        return fields("word_boxes", "image", question=TEXT, word_boxes=WORD_BOXES.schema(), image=BASE64)

    def texts(self, value: Any) -> Sequence[str]:
        return [value["question"]]

    def changed(self, value: Any, change: Callable[[str], str]) -> Any:
        return value | {"question": change(value["question"])}

    def shown(self, value: Any) -> Any:
        return value | {"image": shown(value["image"])} if isinstance(value, dict) and "image" in value else value
