"""What is said of a key, and that filters select what is said."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from inference.access import keys
from inference.access.key_states import KeyState, KeyStates
from inference.models import ApiKey

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def key(**fields: Any) -> ApiKey:
    made = keys.make()
    return ApiKey(**{"owner": "a", "name": "b", "prefix": made.prefix, "digest": made.digest, **fields})


KEYS: list[tuple[dict[str, Any], KeyState, str]] = [
    ({"last_used_at": NOON}, KeyState.WORKS, "works"),
    ({"last_used_at": NOON, "expires_at": NOON + 15 * DAY}, KeyState.WORKS, "works"),
    ({}, KeyState.UNUSED, "never used"),
    ({"expires_at": NOON + 14 * DAY}, KeyState.EXPIRING, "expires in 14 days, never used"),
    ({"expires_at": NOON + DAY / 2, "last_used_at": NOON}, KeyState.EXPIRING, "expires in 12 h"),
    ({"expires_at": NOON}, KeyState.EXPIRED, "expired"),
    ({"expires_at": NOON - DAY, "revoked_at": NOON}, KeyState.REVOKED, "revoked"),
    ({"revoked_at": NOON}, KeyState.REVOKED, "revoked"),
    ({"prefix": "overover", "units_per_day": 1000}, KeyState.OVER_LIMIT, "over its limit today: 1,200 of 1,000 units"),
    ({"prefix": "under000", "units_per_day": 1000, "last_used_at": NOON}, KeyState.WORKS, "works"),
    ({"prefix": "expired0", "units_per_day": 1, "expires_at": NOON}, KeyState.EXPIRED, "expired"),
]
STATES = KeyStates(NOON, {"overover": 1200, "under000": 999, "expired0": 5, "nolimit0": 7})


@pytest.mark.parametrize(("fields", "state", "words"), KEYS)
def test_a_key_has_a_state(fields: dict[str, Any], state: KeyState, words: str):
    assert STATES.of(key(**fields)) is state
    assert STATES.words(key(**fields)) == words


@pytest.mark.django_db
def test_filters_select_each_key_once_and_by_its_state():
    ApiKey.objects.bulk_create(key(**fields) for fields, _, _ in KEYS)
    found = {state: list(ApiKey.objects.filter(STATES.having(state))) for state in KeyState}
    assert all(STATES.of(one) is state for state, those in found.items() for one in those)
    assert sorted(one.pk for those in found.values() for one in those) == sorted(
        ApiKey.objects.values_list("pk", flat=True)
    )
