"""The filtered list as a file."""

import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission, User
from django.test import AsyncClient, Client
from django.urls import reverse

from inference.models import InferenceRequest
from inference.request_log import export
from inference.request_log.export import COLUMNS, TEXTS, Export

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def store(number: int, **fields: Any) -> None:
    known = {"received_at": NOON + timedelta(minutes=number), "transport": "http", "status": "ok", "total_ms": 1.5}
    InferenceRequest.objects.create(**{"request_id": f"r{number}", "preview": "=1+1", **known, **fields})


def address(form: str) -> str:
    return reverse("admin:inference_inferencerequest_export", args=[form])


def staff(*permissions: str) -> User:
    user = User.objects.create(username="staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


@pytest.fixture
def client(client: Client) -> Client:
    client.force_login(staff("view_inferencerequest", "view_inputs"))
    return client


def lines(client: Client, form: str = "jsonl", **query: str) -> list[str]:
    response = client.get(address(form), query)
    assert response.status_code == 200
    assert response["content-disposition"].endswith(f'.{form}"')
    return b"".join(cast("Any", response).streaming_content).decode().splitlines()


def test_it_has_the_rows_of_the_list_oldest_first(client: Client):
    for number in (2, 1, 3):
        store(number, status="failed" if number == 2 else "ok", client="192.0.2.7")
    assert [json.loads(line)["request_id"] for line in lines(client)] == ["r1", "r2", "r3"]
    assert [json.loads(line)["request_id"] for line in lines(client, status__exact="ok")] == ["r1", "r3"]
    assert [json.loads(line)["request_id"] for line in lines(client, q="192.0.2.7", status__exact="failed")] == ["r2"]


def test_no_cell_of_csv_is_a_formula(client: Client):
    store(1, answer="@SUM(A1)", message="＝1+1")
    [row] = csv.DictReader(io.StringIO("\n".join(lines(client, "csv"))))
    assert tuple(row) == COLUMNS
    assert (row["preview"], row["answer"], row["message"]) == ("'=1+1", "'@SUM(A1)", "'＝1+1")


def test_without_the_permission_there_are_no_texts():
    store(1, answer="secret", message="secret", parameters="secret", audit_salt="secret")
    client = Client()
    client.force_login(staff("view_inferencerequest"))
    assert lines(client, "csv")[0].split(",") == [name for name in COLUMNS if name not in TEXTS]
    [row] = map(json.loads, lines(client))
    assert not set(TEXTS) & set(row)
    assert "secret" not in row.values()


def test_whoever_may_not_see_the_log_cannot_export_it():
    client = Client()
    client.force_login(staff("view_usage"))
    assert client.get(address("csv")).status_code == 403
    assert Client().get(address("csv")).status_code == 302


def test_other_forms_are_not_found(client: Client):
    assert client.get(address("xml")).status_code == 404


def test_it_streams_a_page_at_a_time_off_the_event_loop(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(export, "PAGE_ROWS", 2)
    for number in range(5):
        store(number)

    async def pieces() -> list[int]:
        client = AsyncClient()
        await client.aforce_login(user)
        response: Any = await client.get(address("csv"))
        assert response.is_async
        content: AsyncIterator[bytes] = response.streaming_content
        return [piece.count(b"\n") async for piece in content]

    user = staff("view_inferencerequest")
    assert async_to_sync(pieces)() == [1, 2, 2, 1]


def test_a_page_ends_where_it_is_large(monkeypatch: pytest.MonkeyPatch):
    """Rows may have whole request bodies, of which thousands do not fit in memory."""
    for number in range(5):
        store(number, preview="x" * 600)
    monkeypatch.setattr(export, "PAGE_CHARS", 2_000)
    pages = list(Export(InferenceRequest.objects.all(), "jsonl").pages())
    assert [page.count("\n") for page in pages] == [2, 2, 1]
    assert [json.loads(line)["request_id"] for line in "".join(pages).splitlines()] == [f"r{n}" for n in range(5)]


def test_an_address_that_filters_by_no_value_is_refused(client: Client):
    assert client.get(address("csv"), {"received_at__gte": "noon"}).status_code == 400
