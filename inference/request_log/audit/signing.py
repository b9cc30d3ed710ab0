"""Hashes and signatures of the audit: HMAC-SHA256 with keys derived from ``SECRET_KEY``."""

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

from django.conf import settings

from inference.models import AuditChain
from inference.request_log.audit.canonical import FORMAT

NOTHING = "0" * 64


class Signer:
    """With one key. Each kind of statement begins with a word, so that none can stand for another."""

    def __init__(self, secret: str | bytes) -> None:
        secret = secret.encode() if isinstance(secret, str) else secret
        self._key = hashlib.sha256(b"inference.request_log.audit" + secret).digest()

    def row(self, before: str, covered: bytes) -> str:
        return hmac.digest(self._key, before.encode() + covered, "sha256").hex()

    def opening(self, chain: AuditChain, before: str) -> str:
        """``before`` is the opening of the chain before."""
        return self._sign("opening", FORMAT, chain.number, chain.begun_at.isoformat(), chain.witnessed, before)

    def head(self, chain: AuditChain) -> str:
        return self._sign("head", chain.number, chain.head_number, chain.head_hash)

    def pruned(self, chain: AuditChain) -> str:
        moment = chain.pruned_at and chain.pruned_at.isoformat()
        return self._sign("pruned", chain.number, chain.pruned_number, chain.pruned_hash, chain.pruned_rows, moment)

    def erasure(self, row_hash: str, digest: str, moment: str) -> str:
        return self._sign("erased", row_hash, digest, moment)

    def _sign(self, *said: Any) -> str:
        message = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hmac.digest(self._key, message.encode(), "sha256").hex()


def current() -> Signer:
    return Signer(settings.SECRET_KEY)


def known() -> list[Signer]:
    """The current key first, then those that were used before."""
    return [Signer(secret) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]


def signer_of(signature: str, sign: Callable[[Signer], str]) -> Signer | None:
    """The one whose signature it is."""
    return next((one for one in known() if hmac.compare_digest(sign(one), signature)), None)
