"""The form of a key: ``inf_``, a public prefix of 8 characters, and a secret of 32.

The digest is SHA-256 without salt: a secret of 190 random bits cannot be guessed from it, and a comparison costs
microseconds, as each request needs one.
"""

import hashlib
import re
from typing import NamedTuple

from django.utils.crypto import get_random_string

MARK = "inf_"
"""By which scanners of source code find leaked keys."""
PREFIX_LENGTH, SECRET_LENGTH = 8, 32
_KEY = re.compile(rf"{MARK}([A-Za-z0-9]{{{PREFIX_LENGTH}}})[A-Za-z0-9]{{{SECRET_LENGTH}}}")


class NewKey(NamedTuple):
    key: str
    """Shown once, to the person who made it; stored nowhere."""
    prefix: str
    digest: str


def make() -> NewKey:
    prefix, secret = get_random_string(PREFIX_LENGTH), get_random_string(SECRET_LENGTH)
    key = f"{MARK}{prefix}{secret}"
    return NewKey(key, prefix, digest(key))


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def prefix_of(key: str) -> str | None:
    """``None`` for what does not have the form of a key."""
    found = _KEY.fullmatch(key)
    return found[1] if found else None
