"""Forms with a file (``multipart/form-data``), as the clients send recordings."""

import io
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import msgspec
from django.core.exceptions import SuspiciousOperation
from django.core.files.base import ContentFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http.multipartparser import MultiPartParser, MultiPartParserError

from inference.api.dialects.openai.errors import InvalidField
from inference.errors import Malformed, UnsupportedMediaType

FORM = "multipart/form-data"
FILE = "file"
EXAMPLE = "curl -F file=@recording.wav -F model=…"
LIST = "[]"
"""At the end of a field's name: it may be given several times."""


class Form(NamedTuple):
    fields: Mapping[str, Any]
    """Texts, or lists of them where names end in ``LIST``, which is left out here. Empty ones are not given."""
    file: bytes


def read_form(body: bytes, content_type: str) -> Form:
    """The fields and the file of a form. Nothing is written to disk.

    Raises:
        UnsupportedMediaType: the body is no form.
        Malformed: it cannot be read.
        InvalidField: there is not exactly one file, or a field is there twice.
    """
    kind, _, rest = content_type.partition(";")
    if kind.strip().lower() != FORM:
        raise UnsupportedMediaType(f"The body is {kind[:60] or 'of no known type'}; send a form ({FORM}): {EXAMPLE}.")
    meta = {"CONTENT_TYPE": f"{FORM};{rest}", "CONTENT_LENGTH": len(body)}
    try:
        texts, files = MultiPartParser(meta, io.BytesIO(body), [_InMemory()], "utf-8").parse()
    except (MultiPartParserError, SuspiciousOperation) as error:
        raise Malformed(f"The form cannot be read: {str(error)[:200].rstrip('.')}.") from None
    return Form(_fields(dict(texts.lists())), _only_file(dict(files.lists()), texts))


def plain(value: Any) -> Any:
    """A text that is a number, true or false as such; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value.lower(), type=int | float | bool)
    except (msgspec.DecodeError, UnicodeError):
        return value


class _InMemory(FileUploadHandler):
    """The body was received whole and is limited; there is nothing to gain by files on disk."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._pieces: list[bytes] = []

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self._pieces.append(raw_data)

    def file_complete(self, file_size: int) -> Any:
        return ContentFile(b"".join(self._pieces))


def _fields(given: Mapping[str, list[str]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, values in given.items():
        values = [value for value in values if value]
        if name.endswith(LIST):
            fields[name.removesuffix(LIST)] = values
        elif len(values) > 1:
            raise InvalidField(name[:60], f"{name[:60]!r} is given {len(values)} times; send it once.")
        elif values:
            fields[name] = values[0]
    return {name: value for name, value in fields.items() if value}


def _only_file(files: Mapping[str, list[Any]], texts: Collection[str]) -> bytes:
    if others := [name for name in files if name != FILE]:
        raise InvalidField(others[0][:60], f"{others[0][:60]!r} is a file; the recording must be in {FILE!r}.")
    if len(given := files.get(FILE, [])) != 1:
        found = f"{len(given)} files" if given else "a text, not a file" if FILE in texts else "not there"
        raise InvalidField(FILE, f"{FILE!r} is {found}; send one recording with the name of its file: {EXAMPLE}.")
    data: bytes = given[0].read()
    return data
