"""``manage.py usage``."""

import csv
import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from inference.models import Usage

pytestmark = pytest.mark.django_db

TODAY = datetime.now(UTC).date()


@pytest.fixture(autouse=True)
def _usage() -> None:
    def row(days_ago: int, owner: str, key: str, pipeline: str, **figures: Any) -> Usage:
        day = TODAY - timedelta(days=days_ago)
        return Usage(day=day, owner=owner, key=key, name=f"key of {owner}", pipeline=pipeline, **figures)

    Usage.objects.bulk_create([
        row(0, "acme", "a1B2c3D4", "chat", requests=1200, inputs=1500, units=90_000, model_ms=1234.5, refused=7),
        row(1, "acme", "a1B2c3D4", "words", requests=3, units=30),
        row(2, "acme", "e5F6g7H8", "chat", requests=5, units=50),
        row(2, "initech", "i9J0k1L2", "chat", requests=8, units=80, failed=1),
        row(40, "initech", "i9J0k1L2", "chat", requests=1000, units=1000),
    ])  # fmt: skip


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("usage", *arguments, stdout=out)
    return out.getvalue()


def rows(*arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("--json", *arguments))
    return found


def test_a_table_of_keys():
    lines = run().splitlines()
    assert lines[0].split()[:6] == ["OWNER", "KEY", "NAME", "REQUESTS", "INPUTS", "UNITS"]
    assert "a1B2c3D4" in lines[1]
    assert "1,203" in lines[1]
    assert "90,030" in lines[1]
    assert "1,234" in lines[1]
    assert lines[-1].split() == ["TOTAL", "1,216", "1,500", "90,160", "1,234", "7", "1", "0"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], [1203, 5, 8]),
        (["--by", "owner"], [1208, 8]),
        (["--by", "pipeline"], [1213, 3]),
        (["--by", "day"], [13, 3, 1200]),
        (["--by", "owner", "--by", "pipeline"], [1205, 3, 8]),
        (["--owner", "acme"], [1203, 5]),
        (["--key", "e5F6g7H8"], [5]),
        (["--pipeline", "words"], [3]),
        (["--from", str(TODAY)], [1200]),
        (["--to", str(TODAY - timedelta(days=2))], [5, 8]),
        (["--from", str(TODAY - timedelta(days=40)), "--by", "owner"], [1208, 1008]),
        (["--to", str(TODAY - timedelta(days=40))], [1000]),
    ],
)
def test_what_is_listed(arguments: list[str], expected: list[int]):
    assert [row["requests"] for row in rows(*arguments)] == expected


def test_json_and_csv_have_every_figure():
    (found,) = rows("--owner", "initech", "--by", "day", "--by", "key")
    day = str(TODAY - timedelta(days=2))
    assert found == {"day": day, "owner": "initech", "key": "i9J0k1L2", "name": "key of initech"} | {
        "requests": 8, "inputs": 0, "units": 80, "model_ms": 0.0, "refused": 0, "failed": 1, "cancelled": 0,
    }  # fmt: skip
    (same,) = csv.DictReader(StringIO(run("--csv", "--owner", "initech", "--by", "day", "--by", "key")))
    assert same == {name: str(value) for name, value in found.items()}


def test_nothing_was_used():
    Usage.objects.all().delete()
    assert run() == "Nothing was used.\n"
    assert run("--json") == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--from", "yesterday"], "'yesterday' is no day; give one such as 2026-11-27"),
        (["--from", "2026-02-02", "--to", "2026-02-01"], "--from is 2026-02-02 and --to is 2026-02-01"),
        (["--owner", "acne"], "There is no usage of owner 'acne'; there is usage of: acme, initech."),
        (["--pipeline", "x"], "there is usage of: chat, words."),
        (["--by", "week"], "invalid choice: 'week'"),
        (["--csv", "--json"], "not allowed with"),
    ],
)
def test_errors_say_what_would_be_right(arguments: list[str], sentence: str):
    with pytest.raises(CommandError, match=sentence.replace("(", r"\(")):
        run(*arguments)
