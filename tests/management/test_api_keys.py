import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from inference.access import keys
from inference.models import ApiKey

pytestmark = pytest.mark.django_db

WHO = ("--owner", "acme", "--name", "shop")


def run(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("api_keys", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def made(*arguments: str) -> ApiKey:
    run("create", *WHO, *arguments)
    return ApiKey.objects.latest("pk")


def test_a_new_key_is_all_that_is_printed():
    out, err = run("create", *WHO)
    key = ApiKey.objects.get()
    assert re.fullmatch(r"inf_[A-Za-z0-9]{40}\n", out)
    assert keys.digest(out.strip()) == key.digest
    assert key.prefix in err
    assert out.strip() not in err


def test_a_key_has_what_was_asked_for():
    key = made(
        *("--pipeline", "default", "--route", "openai", "--route", "native", "--requests-per-minute", "60"),
        *("--units-per-day", "1000000", "--inputs-in-flight", "8", "--max-deadline", "2.5", "--priority", "9"),
        *("--scope", "manage", "--expires", "90"),
    )
    assert (key.pipelines, key.routes, key.scope, key.priority) == (["default"], ["openai", "native"], "manage", 9)
    limits = (key.requests_per_minute, key.units_per_day, key.inputs_in_flight, key.max_deadline_s)
    assert limits == (60, 1_000_000, 8, 2.5)
    assert key.expires_at is not None
    assert timedelta(days=89) < key.expires_at - timezone.now() <= timedelta(days=90)


def test_a_key_may_end_with_a_day():
    assert made("--expires", "2999-12-31").expires_at == datetime(3000, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--pipeline", "nobody"], "There is no pipeline 'nobody'; there are default."),
        (["--route", "gopher"], "There is no route 'gopher'; there are cohere, "),
        (["--expires", "soon"], "--expires is 'soon'; it must be a number of days, or a day like 2027-12-31."),
        (["--expires", "9" * 30], "it must be a number of days"),
        (["--expires", "2020-01-01"], "--expires: It must be in the future."),
        (["--expires", "0"], "--expires: It must be in the future."),
        (["--max-deadline", "-1"], "--max-deadline: It must be above 0 and at most 3600 seconds."),
        (["--requests-per-minute", "-1"], "--requests-per-minute: "),
        (["--priority", "10"], "invalid choice: 10"),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], sentence: str):
    with pytest.raises(CommandError, match=re.escape(sentence)):
        run("create", *WHO, *arguments)
    assert not ApiKey.objects.exists()


def test_the_list_has_states_and_no_secret():
    first, second = made(), made("--expires", "3")
    run("revoke", first.prefix)
    out, _ = run("list")
    assert re.search(rf"{first.prefix} +acme +shop +inference +revoked ", out)
    assert re.search(rf"{second.prefix} +acme +shop +inference +expires in 3 days, never used ", out)
    as_json, _ = run("list", "--json")
    described: list[dict[str, Any]] = json.loads(as_json)
    assert {key["prefix"]: key["state"] for key in described} == {first.prefix: "revoked", second.prefix: "expiring"}
    assert first.digest not in out + as_json
    assert "digest" not in as_json


def test_a_revocation_is_by_prefix():
    key, other = made(), made()
    assert "is revoked" in run("revoke", key.prefix)[1]
    assert "was revoked before" in run("revoke", key.prefix)[1]
    assert list(ApiKey.objects.filter(revoked_at__isnull=True)) == [other]


def test_a_rotation_prints_the_new_key():
    old = made("--units-per-day", "7")
    out, err = run("rotate", old.prefix, "--overlap", "0.5")
    new = ApiKey.objects.get(prefix=keys.prefix_of(out.strip()))
    old.refresh_from_db()
    assert new.units_per_day == 7
    assert old.expires_at is not None
    assert old.expires_at <= timezone.now() + timedelta(hours=0.5)
    assert f"takes the place of {old.prefix}" in err


@pytest.mark.parametrize("overlap", ["-1", "nan", "1e30", "5000"])
def test_an_impossible_overlap_is_refused(overlap: str):
    old = made()
    with pytest.raises(CommandError, match="overlap"):
        run("rotate", old.prefix, f"--overlap={overlap}")
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize("action", ["revoke", "rotate"])
def test_an_unknown_prefix_is_not_repeated(action: str):
    """It may be a whole key."""
    key, _ = run("create", *WHO)
    with pytest.raises(CommandError) as raised:
        run(action, key.strip())
    assert key.strip() not in str(raised.value)
    assert "There is no key with this prefix" in str(raised.value)


def test_without_an_action_the_usage_is_printed():
    ran = subprocess.run([sys.executable, "manage.py", "api_keys"], capture_output=True, text=True)
    assert ran.returncode != 0
    assert "create" in ran.stderr
