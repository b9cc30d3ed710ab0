"""An image or a recording: the body itself, or base64 in JSON."""

import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from inference.errors import EmptyInput, Invalid
from inference.tasks.inputs.base import InputForm, Model, check_fields, check_text, part_of
from inference.tasks.media import IMAGES, RECORDINGS, Media, media_type
from inference.tasks.schemas import BASE64, TEXT, Schema, fields
from inference.tasks.values import json_type

Kind = Literal["image", "audio"]
FORMATS = {"image": IMAGES, "audio": RECORDINGS}
PIECE = 1 << 18
"""Characters of base64 that are decoded at once; a multiple of 4."""
NAMES = {"image": "an image", "audio": "a recording"}


@dataclass(frozen=True)
class MediaInput(InputForm):
    """Workers get the bytes."""

    form = "media"
    kind: Kind
    plain = False
    media = True

    def checked(self, where: str, value: Any, model: Model, *, cut: bool = False) -> Any:
        return decoded(where, value, self.kind)

    def schema(self) -> Schema:
        return BASE64

    def texts(self, value: Any) -> Sequence[str]:
        return []

    def changed(self, value: Any, change: Callable[[str], str]) -> Any:
        return value

    def shown(self, value: Any) -> Any:
        return shown(value)


@dataclass(frozen=True)
class MediaQuestionInput(InputForm):
    """``{"image": "…base64…", "question": "a text"}``. Workers get bytes in the place of base64."""

    form = "media_question"
    kind: Kind
    plain = False
    media = True

    def checked(self, where: str, value: Any, model: Model, *, cut: bool = False) -> Any:
        check_fields(where, value, (self.kind, "question"), f'{{"{self.kind}": "…base64…", "question": "a text"}}')
        check_text(f"The question of {part_of(where)}", value["question"], model, cut=cut)
        return value | {self.kind: decoded(f"The {self.kind} of {part_of(where)}", value[self.kind], self.kind)}

    def schema(self) -> Schema:
        return fields(**{self.kind: BASE64, "question": TEXT})

    def texts(self, value: Any) -> Sequence[str]:
        return [value["question"]]

    def changed(self, value: Any, change: Callable[[str], str]) -> Any:
        return value | {"question": change(value["question"])}

    def shown(self, value: Any) -> Any:
        if isinstance(value, dict) and self.kind in value:
            return value | {self.kind: shown(value[self.kind])}
        return value


def decoded(where: str, value: Any, kind: Kind) -> bytes:
    """The bytes of an image or recording.

    Raises:
        EmptyInput: there are none.
        Invalid: neither media nor base64, or of another kind or format.
    """
    names = " or ".join([", ".join(list(FORMATS[kind])[:-1]), list(FORMATS[kind])[-1]])
    if isinstance(value, str):
        try:
            data = from_base64(value.partition(",")[2] if value.startswith("data:") else value)
        except ValueError:
            data = value.encode("utf-8", "replace")  # a body that is UTF-8 by chance, as a small GIF or BMP may be
            if not media_type(data):
                wanted = f"send {NAMES[kind]} ({names}) in base64"
                raise Invalid(f"{where} is a text that is not base64; {wanted}.") from None
    elif isinstance(value, Media):
        data = value.data
    else:
        raise Invalid(f"{where} is {json_type(value)}; it must be {NAMES[kind]} ({names}), in JSON as base64.")
    if not data:
        raise EmptyInput(f"{where} is empty; send {NAMES[kind]}.")
    if media_type(data) not in FORMATS[kind].values():
        found = media_type(data) or "none of a known format"
        raise Invalid(f"{where} must be {NAMES[kind]} ({names}); the bytes that were sent are {found}.")
    return data


def from_base64(text: str) -> bytes:
    """Raises ``ValueError``. Lines may be broken.

    Piece by piece, so that other threads get the interpreter in between: 8 MB at once hold it for 30 ms.
    """
    if "\n" in text:
        text = "".join(text.split())
    pieces = (text[start : start + PIECE] for start in range(0, len(text), PIECE))
    return b"".join(binascii.a2b_base64(piece, strict_mode=True) for piece in pieces)


def shown(value: Any) -> Any:
    """For logs: what kind of media it is, never the bytes."""
    if isinstance(value, str):
        value = Media(value.encode("utf-8", "replace"), "base64")
    return str(value) if isinstance(value, Media) else value
