"""Usage in the admin: filters, totals, chart and export."""

import csv
import re
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from inference.admin.usage import MOST_DAYS
from inference.models import Usage

LIST, EXPORT = reverse("admin:inference_usage_changelist"), reverse("admin:inference_usage_export")
TODAY = datetime.now(UTC).date()

pytestmark = pytest.mark.django_db


def row(days_ago: int = 0, **fields: Any) -> Usage:
    known = {"day": TODAY - timedelta(days=days_ago), "owner": "acme", "key": "a1B2c3D4", "pipeline": "chat"}
    return Usage(**(known | {"requests": 1, "units": 10} | fields))


@pytest.fixture
def viewer(client: Client) -> Client:
    """Staff who may see usage and nothing else."""
    user = User.objects.create(username="viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_usage"))
    client.force_login(user)
    return client


@pytest.fixture
def _used() -> None:
    Usage.objects.bulk_create([
        row(requests=1000, units=123_456, model_ms=61_200, name="nightly"),
        row(1, pipeline="words"),
        row(3, owner="initech", key="e5F6g7H8", name="=1+1", failed=1),
        row(400, owner="initech", key="e5F6g7H8"),
    ])  # fmt: skip


def page(viewer: Client, **query: str) -> str:
    response = viewer.get(LIST, query)
    assert response.status_code == 200
    return response.content.decode()


def listed(html: str) -> int:
    return html.count('class="field-owner"')


@pytest.mark.usefixtures("_used")
def test_the_list_and_its_totals(viewer: Client):
    html = page(viewer, owner="acme")
    assert listed(html) == 2
    assert "<dt>requests</dt><dd>1,001</dd>" in html
    assert "<dt>units</dt><dd>123,466</dd>" in html
    assert "<dt>model time</dt><dd>61.2 s</dd>" in html
    assert "nightly" in html


@pytest.mark.usefixtures("_used")
@pytest.mark.parametrize(
    ("query", "number"),
    [
        ({}, 4),
        ({"owner": "initech"}, 2),
        ({"key": "a1B2c3D4"}, 2),
        ({"pipeline": "words"}, 1),
        ({"day__gte": str(TODAY - timedelta(days=1))}, 2),
        ({"day__gte": str(TODAY - timedelta(days=3)), "day__lte": str(TODAY - timedelta(days=1))}, 2),
        ({"day__lte": str(TODAY - timedelta(days=300))}, 1),
        ({"day__gte": "soon"}, 4),
        ({"day__gte": str(TODAY), "owner": "initech"}, 0),
    ],
)
def test_filters(viewer: Client, query: dict[str, str], number: int):
    assert listed(page(viewer, **query)) == number
    exported = viewer.get(EXPORT, query).content.decode()
    assert len(list(csv.DictReader(StringIO(exported)))) == number


@pytest.mark.usefixtures("_used")
def test_the_form_of_days_keeps_other_filters(viewer: Client):
    html = page(viewer, owner="acme", day__gte="2026-01-02", p="1")
    form = html.partition('class="day-range"')[2].partition("</form>")[0]
    assert '<input type="hidden" name="owner" value="acme">' in form
    assert 'name="day__gte" value="2026-01-02"' in form
    assert 'name="p"' not in form


@pytest.mark.usefixtures("_used")
def test_the_export_has_every_column_and_no_formula(viewer: Client):
    response = viewer.get(EXPORT, {"key": "e5F6g7H8"})
    assert response["content-type"] == "text/csv; charset=utf-8"
    newest, _ = csv.DictReader(StringIO(response.content.decode()))
    assert newest == {
        "day": str(TODAY - timedelta(days=3)), "owner": "initech", "key": "e5F6g7H8", "name": "'=1+1",
        "pipeline": "chat", "requests": "1", "inputs": "0", "units": "10", "model_ms": "0.0", "refused": "0",
        "failed": "1", "cancelled": "0",
    }  # fmt: skip


@pytest.mark.usefixtures("_used")
def test_the_chart_has_a_bar_for_each_day_and_a_table(viewer: Client):
    html = page(viewer, day__gte=str(TODAY - timedelta(days=30)))
    assert html.count("<figure") == 2
    assert html.count("<rect") == 2 * 4, "the day without usage has an empty one"
    assert f"<title>{TODAY}: 123,456</title>" in html
    assert re.search(rf'<th scope="row">{TODAY}</th><td>1,000</td>', html)
    assert 'role="img" aria-label="Units per day' in html


def test_without_usage_there_is_no_chart(viewer: Client):
    assert "<figure" not in page(viewer)


def test_nothing_is_inline_that_the_content_security_policy_forbids(viewer: Client):
    Usage.objects.bulk_create([row()])
    response = viewer.get(LIST)
    assert "default-src 'self'" in response["content-security-policy"]
    html = response.content.decode()
    assert "style=" not in html.partition('class="usage-totals"')[2].partition("changelist-form")[0]
    assert "<script>" not in html


def test_visitors_and_staff_without_the_permission_see_nothing(client: Client):
    for address in (LIST, EXPORT):
        assert client.get(address).status_code == 302
    client.force_login(User.objects.create(username="other", is_staff=True))
    for address in (LIST, EXPORT):
        assert client.get(address).status_code == 403


def test_nothing_can_be_changed(viewer: Client):
    viewer.force_login(User.objects.create(username="root", is_staff=True, is_superuser=True))
    Usage.objects.bulk_create([row()])
    change = reverse("admin:inference_usage_change", args=[Usage.objects.get().pk])
    assert viewer.post(change, {"units": "0"}).status_code == 403
    assert viewer.post(reverse("admin:inference_usage_add"), {}).status_code == 403
    assert viewer.post(change.replace("change", "delete"), {"post": "yes"}).status_code == 403
    assert Usage.objects.get().units == 10


def test_the_number_of_queries_does_not_depend_on_the_rows(viewer: Client):
    counts = []
    for days in (range(1), range(1, 120)):
        Usage.objects.bulk_create([row(n) for n in days])
        with CaptureQueriesContext(connection) as captured:
            page(viewer)
        counts.append(len(captured))
    assert counts[0] == counts[1]


@pytest.mark.usefixtures("_used")
def test_a_chart_shows_the_newest_days(viewer: Client):
    html = page(viewer)
    assert html.count("<rect") == 2 * MOST_DAYS
    assert html.count(f"the last {MOST_DAYS} days") == 2
