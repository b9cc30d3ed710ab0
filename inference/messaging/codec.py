"""Messages as they are on the channel layer.

There a message is a dict ``{"type", "version", "body"}`` whose body is the struct in MessagePack, so both layers carry
the same bytes: what cannot be sent through Redis cannot be sent in memory either, and the in-memory layer's
``deepcopy`` costs nothing.
"""

from typing import Any

import msgspec

from inference.messaging.messages import Cancel, Facts, Go, Hello, HostStatus, Message, Replies, Submit, Want
from inference.messaging.previous_release import Status

VERSION = 1
TYPES: dict[str, type[Message | Status]] = {
    "inference.hello": Hello,
    "inference.host": HostStatus,
    "inference.want": Want,
    "inference.facts": Facts,
    "inference.submit": Submit,
    "inference.cancel": Cancel,
    "inference.go": Go,
    "inference.replies": Replies,
    "inference.status": Status,
}
_NAMES = {kind: name for name, kind in TYPES.items()}
_DECODERS = {name: msgspec.msgpack.Decoder(kind) for name, kind in TYPES.items()}
_encoder = msgspec.msgpack.Encoder()
_PLAIN_TYPES = (str, int, float, bool, type(None), bytes)


class UnknownMessage(ValueError):
    """Not a message of this project, or one of another version: ignore it and report it once."""


def encode(message: Message | Status) -> dict[str, Any]:
    """The message for the layer. Raises ``TypeError`` for values that MessagePack cannot encode."""
    return {"type": _NAMES[type(message)], "version": VERSION, "body": _encoder.encode(message)}


def decode(raw: Any) -> Message | Status:
    """Raises ``UnknownMessage`` for everything that was not made by ``encode`` of this version."""
    if not isinstance(raw, dict) or raw.get("version") != VERSION:
        version = raw.get("version") if isinstance(raw, dict) else None
        raise UnknownMessage(f"message version {version!r}; this process understands version {VERSION}")
    kind = raw.get("type")
    decoder = _DECODERS.get(kind) if isinstance(kind, str) else None
    if decoder is None:
        raise UnknownMessage(f"message type {kind!r}")
    try:
        return decoder.decode(raw["body"])
    except (KeyError, TypeError, ValueError, RecursionError, msgspec.DecodeError) as error:
        raise UnknownMessage(f"message {kind}: {error}") from error


def size(value: Any) -> int:
    """Bytes on the layer of a job's input or parameters.

    Raises:
        TypeError: it is neither a JSON value nor has bytes in the place of one, or MessagePack cannot have it.
    """
    if type(value) is bytes:  # an image or a recording: its size is known without a copy
        return len(value)
    try:
        _check_plain(value)
        return len(_encoder.encode(value))
    except OverflowError:
        raise TypeError("a whole number of more than 64 bits") from None
    except RecursionError:
        raise TypeError("it is nested too deeply") from None


def _check_plain(value: Any) -> None:
    """MessagePack would silently turn dates and sets into something else."""
    if type(value) is dict:
        for name, item in value.items():
            if type(name) is not str:
                raise TypeError(f"a name of type {type(name).__name__} is not JSON")
            _check_plain(item)
    elif type(value) is list:
        for item in value:
            _check_plain(item)
    elif type(value) not in _PLAIN_TYPES:
        raise TypeError(f"a value of type {type(value).__name__} is not JSON")
