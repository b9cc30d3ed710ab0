"""The canonical form of a row: the bytes that its hash covers, the same before it is stored and after it was read.

A column that has its default is left out, so a new column does not change the hashes of old rows. A column that is
renamed, removed, or gets another default needs another ``FORMAT``.
"""

import hashlib
import ipaddress
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from django.db import models

from inference.models import InferenceRequest

FORMAT = 1
OWN = ("id", "audit_chain", "audit_number", "audit_hash", "audit_salt", "audit_erased")
"""Not part of what happened."""
ERASABLE = ("client", "message", "preview", "parameters", "answer")
"""Personal data, of which the row's hash covers a salted digest: they may be erased, and the row remains."""

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
Value = Callable[[Any], Any]


def _moment(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def _address(value: str) -> str:
    return str(ipaddress.ip_address(value))


def _form(field: "models.Field[Any, Any]") -> Value:
    if isinstance(field, models.DateTimeField):
        return _moment
    if isinstance(field, models.GenericIPAddressField):
        return _address
    if isinstance(field, models.FloatField):
        return float  # a database gives 3.0 for 3
    return int if isinstance(field, models.IntegerField) else str


def _default(field: "models.Field[Any, Any]") -> Any:
    return (
        field.default if field.has_default() else "" if isinstance(field, models.CharField | models.TextField) else None
    )


_FIELDS = {f.attname: f for f in InferenceRequest._meta.concrete_fields if f.attname not in OWN}
_FORMS = {name: _form(field) for name, field in sorted(_FIELDS.items())}
_DEFAULTS = {name: _default(field) for name, field in _FIELDS.items()}
COLUMNS = (*OWN, *_FORMS)
"""What has to be read of a row."""
_HASHED = {name: form for name, form in _FORMS.items() if name not in ERASABLE}


def covered(row: Mapping[str, Any], erasable: str) -> bytes:
    """What the row's hash covers, besides the hash before. ``erasable`` is the digest of the erasable columns."""
    shown = {name: form(value) for name, form in _HASHED.items() if (value := row[name]) != _DEFAULTS[name]}
    return _encode([row["audit_chain"], row["audit_number"], erasable, shown]).encode()


def erasable_digest(row: Mapping[str, Any]) -> str:
    """Says nothing of the texts once the salt is erased with them."""
    texts = {name: _FORMS[name](row[name]) for name in ERASABLE if row[name] != _DEFAULTS[name]}
    return hashlib.sha256(f"{row['audit_salt']}{_encode(texts)}".encode()).hexdigest()


def erased(row: Mapping[str, Any]) -> bool:
    """Whether nothing is left of the erasable columns."""
    return not row["audit_salt"] and all(row[name] == _DEFAULTS[name] for name in ERASABLE)
