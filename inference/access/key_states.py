"""What may be said of a key at a glance: it works, is unused, expires soon, or no longer works."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from math import ceil

from django.db.models import Q, TextChoices
from django.utils import timezone

from inference.models import ApiKey

EXPIRING = timedelta(days=14)


class KeyState(TextChoices):
    """The first that holds is the state of a key."""

    REVOKED = "revoked", "revoked"
    EXPIRED = "expired", "expired"
    OVER_LIMIT = "over_limit", "over its limit today"
    EXPIRING = "expiring", "expires within 14 days"
    UNUSED = "unused", "never used"
    WORKS = "works", "works"


@dataclass(frozen=True)
class KeyStates:
    """The states of keys at one moment."""

    now: datetime
    used_today: Mapping[str, int] = field(default_factory=dict)
    """Units by prefix of the key."""

    def of(self, key: ApiKey) -> KeyState:
        expires = key.expires_at
        if key.revoked_at is not None:
            return KeyState.REVOKED
        if not key.works(self.now):
            return KeyState.EXPIRED
        if key.units_per_day is not None and self.used_today.get(key.prefix, 0) >= key.units_per_day:
            return KeyState.OVER_LIMIT
        if expires is not None and expires <= self.now + EXPIRING:
            return KeyState.EXPIRING
        return KeyState.UNUSED if key.last_used_at is None else KeyState.WORKS

    def words(self, key: ApiKey) -> str:
        """The state as a person reads it: ``expires in 3 days, never used``."""
        state = self.of(key)
        if state is KeyState.EXPIRING and key.expires_at is not None:
            left = key.expires_at - self.now
            return f"expires in {_time(left)}" + ("" if key.last_used_at else ", never used")
        if state is KeyState.OVER_LIMIT:
            return f"over its limit today: {self.used_today[key.prefix]:,} of {key.units_per_day:,} units"
        return state.label

    def having(self, state: str) -> Q:
        """Selects the keys that ``of`` says this of."""
        return self._conditions[KeyState(state)]

    @cached_property
    def _conditions(self) -> dict[KeyState, Q]:
        revoked = Q(revoked_at__isnull=False)
        expired = Q(expires_at__lte=self.now)
        expiring = Q(expires_at__lte=self.now + EXPIRING)
        own = {
            KeyState.REVOKED: revoked,
            KeyState.EXPIRED: expired,
            KeyState.OVER_LIMIT: self._over_limit,
            KeyState.EXPIRING: expiring,
            KeyState.UNUSED: Q(last_used_at__isnull=True),
            KeyState.WORKS: Q(),
        }
        # A comparison with null is neither true nor false, so what is negated has to say where it is null.
        others = {
            KeyState.REVOKED: Q(revoked_at__isnull=True),
            KeyState.EXPIRED: Q(expires_at__isnull=True) | Q(expires_at__gt=self.now),
            KeyState.OVER_LIMIT: Q(units_per_day__isnull=True) | ~self._over_limit,
            KeyState.EXPIRING: Q(expires_at__isnull=True) | Q(expires_at__gt=self.now + EXPIRING),
            KeyState.UNUSED: Q(last_used_at__isnull=False),
        }
        conditions, before = dict[KeyState, Q](), Q()
        for state in KeyState:
            conditions[state] = before & own[state]
            if state in others:
                before &= others[state]
        return conditions

    @cached_property
    def _over_limit(self) -> Q:
        limited = ApiKey.objects.filter(units_per_day__isnull=False).values_list("prefix", "units_per_day")
        used = self.used_today
        return Q(prefix__in=[prefix for prefix, limit in limited if limit is not None and used.get(prefix, 0) >= limit])


def current(used_today: Mapping[str, int]) -> KeyStates:
    return KeyStates(timezone.now(), used_today)


def _time(left: timedelta) -> str:
    hours = ceil(left / timedelta(hours=1))
    return f"{hours} h" if hours < 48 else f"{hours // 24} days"
