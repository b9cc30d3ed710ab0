"""What single tokens are: their own bytes, also where they are half a character, and their own text."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

SPACE = "\u2581"
"""SentencePiece writes a space so."""
BYTE = re.compile("<0x([0-9A-Fa-f]{2})>")
"""SentencePiece writes a byte so that is no character by itself."""


class Vocabulary:
    """Looks each token up once. For one thread: that of the model, as the tokenizer decodes there."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._added = {token: str(added.content) for token, added in tokenizer.added_tokens_decoder.items()}
        self._read = _reader(tokenizer)
        self._bytes: dict[int, bytes] = {}

    def bytes_of(self, token: int) -> bytes:
        """With the space that belongs to it; of a special one, its name. None of a token without a word."""
        known = self._bytes.get(token)
        if known is None:
            known = self._bytes[token] = self._look_up(token)
        return known

    def text_of(self, token: int) -> str:
        """Its bytes as UTF-8, as far as they are."""
        return self.bytes_of(token).decode(errors="replace")

    def _look_up(self, token: int) -> bytes:
        if (added := self._added.get(token)) is not None:
            return added.encode()
        if token >= len(self._tokenizer):  # a model may have more
            return b""
        if self._read is None:
            decoded: str = self._tokenizer.decode([token])
            return decoded.encode()
        return self._read(self._tokenizer.convert_ids_to_tokens(token))


def _reader(tokenizer: Any) -> Callable[[str], bytes] | None:
    """From a token as the vocabulary has it to bytes; ``None``: it has to be decoded."""
    if not tokenizer.is_fast:
        if hasattr(tokenizer, "byte_decoder"):
            return _of_byte_level
        return _of_sentencepiece if any(word.startswith(SPACE) for word in tokenizer.get_vocab()) else None
    decoder = tokenizer.backend_tokenizer.decoder
    steps = list(_steps(json.loads(decoder.__getstate__()))) if decoder else []
    if any(step["type"] == "ByteLevel" for step in steps):
        return _of_byte_level
    if any(step["type"] in ("Metaspace", "ByteFallback") or SPACE in str(step.get("pattern")) for step in steps):
        return _of_sentencepiece
    return None


def _steps(decoder: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield decoder
    for step in decoder.get("decoders", ()):
        yield from _steps(step)


def _of_sentencepiece(token: str) -> bytes:
    if found := BYTE.fullmatch(token):
        return bytes([int(found[1], 16)])
    return token.replace(SPACE, " ").encode()


def _of_byte_level(token: str) -> bytes:
    return b"".join(BYTES.get(character) or character.encode() for character in token)


def _byte_level() -> dict[str, bytes]:
    """GPT-2's alphabet: a printable character for each byte, for most the one of Latin-1."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): bytes([byte]) for byte in printable} | {
        chr(256 + number): bytes([byte]) for number, byte in enumerate(others)
    }


BYTES = _byte_level()
