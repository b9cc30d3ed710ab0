"""``manage.py api_keys``: make, list, revoke and rotate the keys of callers."""

import json
from argparse import ArgumentParser
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from inference import catalog
from inference.access import issuing, key_states
from inference.access.key_states import KeyStates
from inference.api.dialects import registry
from inference.management.commands.pipelines import table
from inference.models import ApiKey
from inference.models.api_key import HIGHEST_PRIORITY, LOWEST_PRIORITY, USUAL_PRIORITY
from inference.request_log.usage_table import used_today

COLUMNS = ("PREFIX", "OWNER", "NAME", "SCOPE", "STATE", "CREATED", "LAST USED", "EXPIRES")
PRIORITIES = range(LOWEST_PRIORITY, HIGHEST_PRIORITY + 1)


class Command(BaseCommand):
    help = (
        "Makes, lists, revokes and rotates keys. A new key is printed once, alone, to the standard output; "
        "what else there is to say goes to the standard error."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, parser_class=CommandParser)
        _add_create_arguments(actions.add_parser("create", help="make a key and print it"))
        listing = actions.add_parser("list", help="all keys, with their states")
        listing.add_argument("--json", action="store_true", help="as JSON")
        revoke = actions.add_parser("revoke", help="end a key for good")
        revoke.add_argument("prefix", help="the 8 characters after inf_")
        rotate = actions.add_parser("rotate", help="make a key with the same settings; the old one expires soon")
        rotate.add_argument("prefix", help="the 8 characters after inf_")
        hours = issuing.OVERLAP / timedelta(hours=1)
        rotate.add_argument(
            "--overlap", type=float, default=hours, metavar="HOURS", help="until the old one expires (%(default)g)"
        )

    def handle(self, *_: Any, action: str, **options: Any) -> None:
        try:
            getattr(self, f"_{action}")(options)
        except ValidationError as error:
            raise CommandError(" ".join(_sentences(error))) from error

    def _create(self, options: dict[str, Any]) -> None:
        issuing.check_names("pipeline", options["pipeline"], catalog.current().names)
        issuing.check_names("route", options["route"], [dialect.name for dialect in registry.served()])
        key = ApiKey(
            owner=options["owner"],
            name=options["name"],
            scope=options["scope"],
            pipelines=options["pipeline"],
            routes=options["route"],
            requests_per_minute=options["requests_per_minute"],
            units_per_day=options["units_per_day"],
            inputs_in_flight=options["inputs_in_flight"],
            max_deadline_s=options["max_deadline"],
            priority=options["priority"],
            expires_at=_expiry(options["expires"]),
        )
        self._show(issuing.create(key), f"The key of {key} is shown once; only its digest is stored.")

    def _list(self, options: dict[str, Any]) -> None:
        states = key_states.current(used_today())
        keys = list(ApiKey.objects.all())
        if options["json"]:
            self.stdout.write(json.dumps([_described(key, states) for key in keys], indent=2))
            return
        for row in table([COLUMNS, *(_row(key, states) for key in keys)]):
            self.stdout.write(row)

    def _revoke(self, options: dict[str, Any]) -> None:
        key = _found(options["prefix"])
        done = issuing.revoke(key)
        self.stderr.write(f"{key} {'is revoked' if done else 'was revoked before'}.", str)

    def _rotate(self, options: dict[str, Any]) -> None:
        old = _found(options["prefix"])
        new, shown = issuing.rotate(old, _hours(options["overlap"]))
        old.refresh_from_db()
        self._show(shown, f"{new} takes the place of {old.prefix}, which expires at {_moment(old.expires_at)}.")

    def _show(self, key: str, words: str) -> None:
        self.stderr.write(words, str)
        self.stdout.write(key)


def _add_create_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--owner", required=True, help="team or customer")
    parser.add_argument("--name", required=True, help="what the key is for")
    parser.add_argument("--pipeline", action="append", default=[], help="it may use; several times if wanted (all)")
    parser.add_argument("--route", action="append", default=[], help="dialect it may speak; likewise (all)")
    parser.add_argument("--requests-per-minute", type=int, metavar="N")
    parser.add_argument("--units-per-day", type=int, metavar="N", help="tokens, images or seconds of recordings")
    parser.add_argument("--inputs-in-flight", type=int, metavar="N")
    parser.add_argument("--max-deadline", type=float, metavar="S", help="longest deadline of a request, in seconds")
    parser.add_argument(
        "--priority", type=int, choices=PRIORITIES, default=USUAL_PRIORITY, help="the higher, the earlier (%(default)s)"
    )
    parser.add_argument("--expires", metavar="DAYS|DATE", help="after so many days, or at the end of a day: 2027-12-31")
    parser.add_argument("--scope", choices=ApiKey.Scope.values, default=ApiKey.Scope.INFERENCE.value)


def _expiry(given: str | None) -> datetime | None:
    if given is None:
        return None
    try:
        if given.isdigit():
            return timezone.now() + timedelta(days=int(given))
        return datetime.strptime(given, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise CommandError(f"--expires is {given!r}; it must be a number of days, or a day like 2027-12-31.") from error


def _hours(given: float) -> timedelta:
    try:
        return timedelta(hours=given)
    except (ValueError, OverflowError) as error:
        raise CommandError(f"--overlap is {given}; it must be a number of hours.") from error


def _found(prefix: str) -> ApiKey:
    try:
        return ApiKey.objects.get(prefix=prefix)
    except ApiKey.DoesNotExist as error:
        # Without what was given: somebody may have given the whole key.
        raise CommandError("There is no key with this prefix; `manage.py api_keys list` names them.") from error


def _sentences(error: ValidationError) -> Iterable[str]:
    if not hasattr(error, "error_dict"):
        return error.messages
    return (
        f"--{name.replace('_', '-').removesuffix('-s').removesuffix('-at')}: {message}"
        for name, messages in error.message_dict.items()
        for message in messages
    )


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "-"


def _row(key: ApiKey, states: KeyStates) -> tuple[str, ...]:
    times = (_moment(key.created_at), _moment(key.last_used_at), _moment(key.expires_at))
    return (key.prefix, key.owner, key.name, key.scope, states.words(key), *times)


def _described(key: ApiKey, states: KeyStates) -> dict[str, Any]:
    """Everything but the digest."""
    names = (field.name for field in ApiKey._meta.concrete_fields if field.name not in ("id", "digest"))
    values = ((name, getattr(key, name)) for name in names)
    described = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values}
    return described | {"state": states.of(key).value}
