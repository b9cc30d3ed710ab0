import re
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from inference.access import issuing, keys
from inference.models import ApiKey

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def made(**fields: Any) -> tuple[ApiKey, str]:
    key = ApiKey(**{"owner": "acme", "name": "shop", **fields})
    return key, issuing.create(key)


def test_a_key_is_stored_as_its_digest():
    _, shown = made(pipelines=["default"], priority=7)
    stored = ApiKey.objects.get(prefix=keys.prefix_of(shown))
    assert (stored.owner, stored.name, stored.pipelines, stored.priority) == ("acme", "shop", ["default"], 7)
    assert stored.digest == keys.digest(shown)
    assert shown not in repr([getattr(stored, field.name) for field in ApiKey._meta.concrete_fields])


@pytest.mark.parametrize(
    ("fields", "field", "sentence"),
    [
        ({"owner": ""}, "owner", "cannot be blank"),
        ({"priority": 10}, "priority", "less than or equal to 9"),
        ({"max_deadline_s": 0}, "max_deadline_s", "above 0 and at most 3600 seconds"),
        ({"max_deadline_s": float("nan")}, "max_deadline_s", "above 0 and at most 3600 seconds"),
        ({"expires_at": timezone.now() - HOUR}, "expires_at", "in the future"),
    ],
)
def test_impossible_settings_are_refused(fields: dict[str, Any], field: str, sentence: str):
    with pytest.raises(ValidationError) as raised:
        made(**fields)
    assert sentence in raised.value.message_dict[field][0]
    assert not ApiKey.objects.exists()


def test_a_rotated_key_has_the_same_settings_and_overlaps():
    old, old_shown = made(pipelines=["default"], routes=["openai"], units_per_day=9, max_deadline_s=3.5, priority=2)
    new, shown = issuing.rotate(old, 2 * HOUR)
    old.refresh_from_db()
    unlike = {"id", "prefix", "digest", "created_at", "expires_at"}
    for field in ApiKey._meta.concrete_fields:
        assert (getattr(old, field.name) == getattr(new, field.name)) is (field.name not in unlike), field.name
    assert shown != old_shown
    assert new.expires_at is None
    assert old.expires_at is not None
    assert HOUR < old.expires_at - timezone.now() <= 2 * HOUR
    assert old.works(timezone.now())


def test_a_rotated_key_is_valid_for_as_long_as_the_old_one_was():
    old, _ = made(expires_at=timezone.now() + 10 * HOUR)
    new, _ = issuing.rotate(old, 24 * HOUR)
    before = old.expires_at
    old.refresh_from_db()
    assert old.expires_at == before, "an overlap does not lengthen the life of the old key"
    assert new.expires_at is not None
    assert old.expires_at is not None
    assert new.expires_at - new.created_at == old.expires_at - old.created_at


@pytest.mark.parametrize(
    ("fields", "hours", "sentence"),
    [
        ({"revoked_at": timezone.now()}, 1, "is revoked: make a new one."),
        ({"expires_at": timezone.now() - HOUR}, 1, "has expired: make a new one."),
        ({}, -1, "from 0 to 2160 hours"),
        ({}, 3000, "from 0 to 2160 hours"),
    ],
)
def test_what_cannot_be_rotated_stays(fields: dict[str, Any], hours: int, sentence: str):
    old, _ = made()
    ApiKey.objects.update(**fields)
    with pytest.raises(ValidationError, match=re.escape(sentence)):
        issuing.rotate(old, hours * HOUR)
    assert ApiKey.objects.count() == 1


def test_a_revocation_is_for_good():
    key, _ = made()
    assert issuing.revoke(key)
    stamp = ApiKey.objects.get().revoked_at
    assert not issuing.revoke(key)
    assert ApiKey.objects.get().revoked_at == stamp
    assert not ApiKey.objects.get().works(timezone.now())
