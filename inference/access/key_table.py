"""All keys that work, in the memory of a web process: requests are checked without a query."""

import hashlib
import hmac
from collections.abc import Iterable
from typing import NamedTuple

from inference.access.keys import prefix_of
from inference.access.principal import ANYONE, Principal


class KnownKey(NamedTuple):
    digest: bytes
    """SHA-256."""
    expires_at: float
    """Seconds since the epoch; infinite for a key that does not expire."""
    principal: Principal


NO_KEY = KnownKey(bytes(32), 0.0, ANYONE)


class KeyTable:
    """Read on the event loop; another thread replaces the whole of it.

    Keys are found by their digests, so a wrong prefix and a wrong secret take the same steps. How long a dictionary
    takes to find nothing depends on bits of the digest that no client can choose.
    """

    def __init__(self) -> None:
        self.loaded = False
        self._used: set[str] = set()
        self._by_digest: dict[bytes, KnownKey] = {}
        self._by_prefix: dict[str, KnownKey] = {}

    def __len__(self) -> int:
        return len(self._by_prefix)

    def replace(self, keys: Iterable[KnownKey]) -> None:
        by_digest = {key.digest: key for key in keys}
        self._by_prefix = {key.principal.key: key for key in by_digest.values()}
        self._by_digest = by_digest
        self.loaded = True

    def find(self, key: str, now: float) -> Principal | None:
        """Whose key this is; ``None`` if it does not work."""
        if prefix_of(key) is None:
            return None
        digest = hashlib.sha256(key.encode()).digest()
        known = self._by_digest.get(digest, NO_KEY)
        if not hmac.compare_digest(known.digest, digest) or now >= known.expires_at:
            return None
        self._used.add(known.principal.key)
        return known.principal

    def current(self, prefix: str, now: float) -> Principal | None:
        """What the key with this prefix allows now; ``None`` if it works no more."""
        known = self._by_prefix.get(prefix, NO_KEY)
        return known.principal if now < known.expires_at else None

    def take_used(self) -> list[str]:
        """Prefixes of keys that were used since the last call."""
        used, self._used = self._used, set()
        return [*used]
