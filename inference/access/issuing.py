"""Making, rotating and revoking keys, as the admin and ``manage.py api_keys`` do it.

The key itself is returned to the caller, who shows it once; nothing here logs or stores it.
"""

from collections.abc import Collection
from datetime import timedelta

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from inference.access import keys
from inference.models import ApiKey

OVERLAP = timedelta(hours=24)
"""How long the old key works after a rotation."""
MAX_OVERLAP = timedelta(days=90)
MAX_DEADLINE_S = 3600


def create(key: ApiKey) -> str:
    """Store a new key with these settings, and return it in full.

    Raises:
        ValidationError: a setting is not allowed.
    """
    made = keys.make()
    key.prefix, key.digest = made.prefix, made.digest
    check_settings(key)
    key.full_clean()
    key.save(force_insert=True)
    return made.key


def rotate(key: ApiKey, overlap: timedelta = OVERLAP) -> tuple[ApiKey, str]:
    """A new key with the settings of this one, which expires after the overlap.

    The new one is valid for as long as the old one was meant to be.

    Raises:
        ValidationError: the old key does not work any more, or the overlap is not allowed.
    """
    if not timedelta() <= overlap <= MAX_OVERLAP:
        raise ValidationError(f"The overlap must be from 0 to {MAX_OVERLAP // timedelta(hours=1)} hours.")
    with transaction.atomic():
        old = ApiKey.objects.select_for_update().get(pk=key.pk)
        now = timezone.now()
        if not old.works(now):
            raise ValidationError(
                f"The key {old.prefix} {'is revoked' if old.revoked_at else 'has expired'}: make a new one."
            )
        new = ApiKey.objects.get(pk=key.pk)
        new.pk, new.created_at, new.last_used_at = None, now, None
        new._state.adding = True
        if old.expires_at is not None:
            new.expires_at = now + (old.expires_at - old.created_at)
        shown = create(new)
        ends = now + overlap
        old.expires_at = ends if old.expires_at is None else min(old.expires_at, ends)
        old.save(update_fields=["expires_at"])
    return new, shown


def revoke(key: ApiKey) -> bool:
    """For good. False if it was revoked before."""
    with transaction.atomic():
        stored = ApiKey.objects.select_for_update().get(pk=key.pk)
        if stored.revoked_at is not None:
            return False
        stored.revoked_at = timezone.now()
        stored.save(update_fields=["revoked_at"])
    return True


def check_settings(key: ApiKey) -> None:
    """What the columns themselves do not exclude.

    Raises:
        ValidationError: by field.
    """
    if key.max_deadline_s is not None and not 0 < key.max_deadline_s <= MAX_DEADLINE_S:
        raise ValidationError({"max_deadline_s": f"It must be above 0 and at most {MAX_DEADLINE_S} seconds."})
    if key._state.adding and key.expires_at is not None and key.expires_at <= timezone.now():
        raise ValidationError({"expires_at": "It must be in the future."})


def check_names(kind: str, given: Collection[str], known: Collection[str]) -> None:
    """``kind`` is ``pipeline`` or ``route``.

    Raises:
        ValidationError: a name that does not exist; the sentence names those that do.
    """
    for name in given:
        if name not in known:
            raise ValidationError(f"There is no {kind} {name!r}; there are {', '.join(sorted(known))}.")
