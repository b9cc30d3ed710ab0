"""The request log in the admin: readable, read-only, and fast with many rows."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from inference.admin.request_log import listing
from inference.admin.request_log.cells import duration, one_line
from inference.admin.request_log.listing import BoundedPaginator
from inference.models import InferenceRequest

LIST = reverse("admin:inference_inferencerequest_changelist")
TABLE = InferenceRequest._meta.db_table
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
Page = Callable[..., str]

pytestmark = pytest.mark.django_db


def row(number: int = 0, **fields: Any) -> InferenceRequest:
    known = {"received_at": NOON, "transport": "http", "status": "ok", "total_ms": 3.14, "pipeline": "bert"}
    return InferenceRequest(**{"request_id": f"{number:032x}", **known, **fields})


def store(*rows: InferenceRequest) -> None:
    InferenceRequest.objects.bulk_create(rows)


def detail(number: int = 0) -> str:
    stored = InferenceRequest.objects.get(request_id=f"{number:032x}")
    return reverse("admin:inference_inferencerequest_change", args=[stored.pk])


@pytest.fixture
def superuser(client: Client) -> Client:
    client.force_login(User.objects.create(username="root", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def page(superuser: Client) -> Page:
    """The list page, with a query string given as keywords."""

    def get(**query: str) -> str:
        response = superuser.get(LIST, query)
        assert response.status_code == 200
        return response.content.decode().replace("\N{NO-BREAK SPACE}", " ")

    return get


@pytest.fixture
def many_rows() -> int:
    """A hundred thousand rows over four weeks, in two pipelines: a thousand, a hundred times."""
    store(*[row(n, received_at=NOON - timedelta(minutes=40 * n), pipeline=f"bert-{n % 2}") for n in range(1000)])
    columns = ", ".join(f.name for f in InferenceRequest._meta.concrete_fields if not f.primary_key)
    copies = "WITH RECURSIVE copy(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copy WHERE n < 99)"
    with connection.cursor() as cursor:
        cursor.execute(f"{copies} INSERT INTO {TABLE} ({columns}) SELECT {columns} FROM {TABLE}, copy")  # noqa: S608
    return InferenceRequest.objects.count()


def numbers(html: str) -> list[int]:
    """Which of the first hundred rows the page lists, in its order."""
    found = {html.find(f'title="{n:032x}"'): n for n in range(100)}
    return [found[position] for position in sorted(found) if position >= 0]


# Display


@pytest.mark.parametrize(
    ("ms", "text"),
    [(None, "–"), (0, "0.0 ms"), (3.14, "3.1 ms"), (999.94, "999.9 ms"), (999.96, "1.00 s"), (1240, "1.24 s")],
)
def test_durations_are_readable(ms: float | None, text: str | None):
    assert duration(ms) == (text and one_line(text))


def test_the_list_is_newest_first(page: Page):
    store(*[row(n, received_at=NOON + timedelta(seconds=n * (-1) ** n)) for n in range(4)])
    assert numbers(page()) == [2, 0, 1, 3]


def test_the_list_shows_a_request_at_a_glance(page: Page):
    store(
        row(
            7,
            transport="websocket",
            dialect="openai",
            client="192.0.2.7",
            inputs=3,
            preview="The capital of France is [MASK]. " * 9,
            status="failed",
            code="timeout",
            batch_size=32,
            queue_ms=None,
            inference_ms=12.34,
            total_ms=1240,
        )
    )
    html = page()
    assert "The capital of France is [MASK]. The capital of France is [MASK]. The capital of…" in html
    for text in ("12:00:00.000", "2026-03-14", "WebSocket · openai", "192.0.2.7", "3 inputs", "bert", "timeout"):
        assert text in html
    assert '<span class="log-status failed"><span aria-hidden="true">✗</span> failed</span>' in html
    for cell in ("32", "–", "12.3 ms", "1.24 s"):
        assert f">{cell}</td>" in html


def test_a_count_is_shown_only_where_refusals_share_a_row(page: Page):
    store(row(1), row(2, status="refused", code="overloaded", count=37))
    assert page().count("×") == 1
    assert "×37" in page()


def test_the_caller_is_the_owner_of_the_key_and_the_address(page: Page):
    store(row(1, owner="acme", key="a1B2c3D4", client="192.0.2.7"), row(2, client="192.0.2.8"))
    html = page()
    assert '<span class="log-first" title="key a1B2c3D4">acme</span><span class="log-second">192.0.2.7</span>' in html
    assert '<span class="log-first">192.0.2.8</span>' in html


def test_a_long_pipeline_name_keeps_its_end(page: Page):
    store(row(pipeline="/srv/models/" + "deep/" * 20 + "bert-large"))
    assert ">…" in page()
    assert "deep/bert-large</span>" in page()


def test_inputs_are_escaped(page: Page, superuser: Client):
    store(row(preview="<script>alert(1)</script>"))
    assert "<script>alert" not in page() + superuser.get(detail()).content.decode()


def test_the_detail_page_shows_everything(superuser: Client):
    caller: dict[str, Any] = {"owner": "acme", "key": "a1B2c3D4", "dialect": "openai", "units": 4711}
    texts: dict[str, Any] = {"parameters": '{"top_k":3}', "answer": '"Paris"', "trace_id": "c" * 32, "batch_size": 5}
    store(
        row(
            preview="x" * 5000,
            message="The deadline passed.",
            queue_ms=2.5,
            worker="w1",
            version="1a2b3c",
            **caller,
            **texts,
        )
    )
    html = superuser.get(detail()).content.decode().replace("\N{NO-BREAK SPACE}", " ")
    for text in ("x" * 5000, "The deadline passed.", "2.5 ms", "w1", "bert", "1a2b3c", "Request", "Answer", "Times"):
        assert text in html
    for text in ("acme", "a1B2c3D4", "openai", "4711", "&quot;top_k&quot;: 3", "Paris", "c" * 32, "4 batch mates"):
        assert text in html


def test_the_site_has_a_name(superuser: Client):
    assert "Inference server" in superuser.get(reverse("admin:index")).content.decode()


# Filters and search


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, [3, 2, 1, 0]),
        ({"status__exact": "failed"}, [1]),
        ({"transport__exact": "python"}, [2]),
        ({"pipeline": "distil"}, [3]),
        ({"pipeline": ""}, [0]),
        ({"version": "1a2b"}, [2]),
        ({"version": ""}, [3, 1, 0]),
        ({"version": "1a2b", "pipeline": "bert"}, [2]),
        ({"version": "1a2b", "pipeline": "distil"}, []),
        ({"owner": "acme"}, [2]),
        ({"key": "a1B2c3D4"}, [2]),
        ({"key": "", "pipeline": "distil"}, [3]),
        ({"period": "1h"}, [3]),
        ({"period": "24h"}, [3, 2]),
        ({"period": "7d"}, [3, 2, 1]),
        ({"period": "nonsense"}, [3, 2, 1, 0]),
        ({"q": f"{2:032x}"}, [2]),
        ({"q": f" {2:032x} "}, [2]),
        ({"q": f"{2:032x}"[:31]}, [3, 2, 1, 0]),
        ({"q": "c" * 32}, [3]),
        ({"q": "192.0.2.7"}, [0]),
        ({"q": "2001:DB8::1"}, [3]),
        ({"q": "timeout"}, [1]),
        ({"q": "paris"}, [1, 0]),
        ({"q": "paris in"}, [0]),
        ({"q": "berlin"}, [2]),
        ({"code": "timeout"}, [1]),
        ({"code": "nonsense"}, []),
        ({"client": "192.0.2.7"}, [0]),
        ({"client": " 2001:db8:0::1"}, [3]),
        ({"client": "192.0.2.9"}, []),
        ({"client": "nonsense"}, []),
        ({"client": "192.0.2.7", "status__exact": "failed"}, []),
        ({"q": "nothing of the kind"}, []),
        ({"q": " "}, [3, 2, 1, 0]),
    ],
)
def test_filters_and_search(page: Page, query: dict[str, str], found: list[int]):
    now = datetime.now(UTC)
    store(
        row(0, received_at=now - timedelta(days=9), pipeline="", preview="In Paris", client="192.0.2.7"),
        row(1, received_at=now - timedelta(days=2), status="failed", code="timeout", preview="Paris"),
        row(
            2,
            received_at=now - timedelta(hours=3),
            transport="python",
            version="1a2b",
            owner="acme",
            key="a1B2c3D4",
            answer='"Berlin"',
        ),
        row(3, received_at=now - timedelta(minutes=3), pipeline="distil", trace_id="c" * 32, client="2001:db8::1"),
    )
    assert numbers(page(**query)) == found


def test_the_filters_list_each_pipeline_and_version_once(page: Page):
    store(row(1), row(2, version="2"), row(3, pipeline="distil", version="1"), row(4, pipeline="", version="1"))
    html = page()
    assert [html.count(f'?pipeline={name}"') for name in ("bert", "distil", "")] == [1, 1, 1]
    assert [html.count(f'?version={name}"') for name in ("1", "2", "")] == [1, 1, 1]


def test_a_filter_lists_twenty_at_most(page: Page):
    store(*[row(n, version=f"{n:02}") for n in range(30)])
    assert page().count("?version=") == 20


@pytest.mark.parametrize("column", ["pipeline", "version", "owner", "key"])
def test_the_values_of_a_filter_are_looked_up_in_an_index(page: Page, column: str):
    store(*[row(n, **{column: f"{n % 3}"}) for n in range(9)])
    with CaptureQueriesContext(connection) as captured:
        page()
    lookups = [q["sql"] for q in captured if q["sql"].startswith(f'SELECT "{TABLE}"."{column}"')]
    assert len(lookups) == 4, "one for each value, and one that finds no more"
    with connection.cursor() as cursor:
        for lookup in lookups:
            cursor.execute(f"EXPLAIN QUERY PLAN {lookup}")
            plan = " ".join(str(step) for step in cursor.fetchall())
            assert f"USING COVERING INDEX inference_i_{column[:7]}" in plan
            assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize(
    ("moments", "query", "links"),
    [
        ([], {}, []),
        ([NOON, datetime(2028, 2, 29, 23, tzinfo=UTC)], {}, ["2026", "2027", "2028"]),
        (
            [datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)],
            {},
            ["January 2026", "February 2026", "March 2026", "April 2026"],
        ),
        ([NOON, NOON + timedelta(days=2, hours=-11)], {}, ["March 14", "March 15", "March 16"]),
        ([NOON, NOON + timedelta(days=999)], {"received_at__year": "2026"}, ["March 2026"]),
    ],
)
def test_dates_drill_down(page: Page, moments: list[datetime], query: dict[str, str], links: list[str]):
    store(*[row(n, received_at=moment) for n, moment in enumerate(moments)])
    html = page(**query)
    bar = html.partition('<nav class="toplinks">')[2].partition("</nav>")[0]
    assert re.findall(r'<a href="[^"]*">([^<]*)</a>', bar) == links


def test_a_drill_down_to_a_day_lists_that_day(page: Page):
    store(*[row(n, received_at=NOON + timedelta(days=n)) for n in range(3)])
    assert numbers(page(received_at__year="2026", received_at__month="3", received_at__day="15")) == [1]


# Permissions


def test_inputs_have_a_permission_of_their_own(client: Client):
    """Without it neither list, detail nor search tell what a request says."""
    texts = dict.fromkeys(("preview", "parameters", "answer"), "my secret")
    store(row(1, message="Label 'my secret' is unknown.", status="failed", **texts), row(2))
    user = User.objects.create(username="viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_inferencerequest"))
    client.force_login(user)
    pages = [client.get(LIST), client.get(detail(1)), client.get(LIST, {"q": "my secret"})]
    assert [page.status_code for page in pages] == [200] * 3
    assert not any("my secret" in page.content.decode().replace('value="my secret"', "") for page in pages)
    assert numbers(pages[2].content.decode()) == []
    assert numbers(client.get(LIST, {"q": f"{1:032x}"}).content.decode()) == [1]
    user.user_permissions.add(Permission.objects.get(codename="view_inputs"))
    client.force_login(User.objects.get(pk=user.pk))
    pages = [client.get(LIST), client.get(detail(1)), client.get(LIST, {"q": "secret"})]
    assert all("secret" in page.content.decode() for page in pages)
    assert numbers(pages[2].content.decode()) == [1]


@pytest.mark.parametrize(
    "lookup", ["preview__startswith", "answer__contains", "message__regex", "parameters", "beginning__lt"]
)
def test_an_address_filters_by_no_text(superuser: Client, lookup: str):
    """One letter after the other, it would tell what an input says."""
    store(row(1, preview="my secret"))
    for address in (LIST, reverse("admin:inference_inferencerequest_export", args=["csv"])):
        assert superuser.get(address, {lookup: "my"}).status_code == 400


def test_visitors_must_log_in(client: Client):
    response = client.get(LIST)
    assert response.status_code == 302
    assert reverse("admin:login") in response["Location"]


def test_nothing_can_be_added_changed_or_deleted(superuser: Client):
    store(row())
    change = detail()
    for address in (reverse("admin:inference_inferencerequest_add"), change.replace("change", "delete")):
        assert superuser.get(address).status_code == 403
        assert superuser.post(address, {"post": "yes"}).status_code == 403
    assert superuser.post(change, {"status": "ok"}).status_code == 403
    superuser.post(LIST, {"action": "delete_selected", "_selected_action": "1", "post": "yes"})
    assert InferenceRequest.objects.count() == 1


# Queries


def test_the_list_asks_few_queries_of_100_000_rows(page: Page, many_rows: int):
    assert many_rows == 100_000
    with CaptureQueriesContext(connection) as captured:
        html = page()
    assert "10,000+ inference requests" in html
    assert html.count("field-short_id") == 50
    assert len(captured) <= 17
    # Each of these would call Python for every row of the table.
    assert not [q["sql"] for q in captured if "django_datetime" in q["sql"]]


def test_the_number_of_queries_does_not_depend_on_the_rows(page: Page):
    counts = []
    for batch in (range(1), range(1, 60)):
        store(*[row(n) for n in batch])
        with CaptureQueriesContext(connection) as captured:
            page()
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_the_last_page_of_many_is_reachable(page: Page, many_rows: int):
    last = BoundedPaginator.LIMIT // 50
    assert f"{last}</a>" in page()
    assert page(p=str(last)).count("field-short_id") == 50


def test_the_count_of_a_large_search_is_bounded(page: Page, many_rows: int):
    InferenceRequest.objects.update(preview="Paris")
    assert "10,000+ result" in page(q="pari")


@pytest.mark.parametrize("query", [{"q": "paris"}, {"o": "7"}])
def test_what_has_no_index_is_looked_for_in_the_newest_rows(
    page: Page, query: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    """Words, and orders by times."""
    store(*[row(n, received_at=NOON - timedelta(minutes=n), preview="Paris", queue_ms=n) for n in range(9)])
    assert "are looked at" not in page(**query)
    monkeypatch.setattr(listing, "NEWEST_ROWS", 4)
    html = page(**query)
    assert sorted(numbers(html)) == [0, 1, 2, 3]
    assert "those since 2026-03-14 11:57:00" in html
    assert sorted(numbers(page(**query, client="192.0.2.7"))) == []


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({"q": "192.0.2.7"}, "inference_i_client"),
        ({"client": "192.0.2.7"}, "inference_i_client"),
        ({"q": "timeout"}, "inference_i_code"),
        ({"code": "timeout"}, "inference_i_code"),
        ({"q": "c" * 32}, "inference_request_trace"),
        ({"q": f"{1:032x}"}, "inference_inferencerequest_request_id"),
        ({"q": f"{1:032x}"[:30]}, "inference_inferencerequest_request_id"),
    ],
)
def test_what_is_looked_up_has_an_index(page: Page, query: dict[str, str], index: str):
    store(row(1, client="192.0.2.7", code="timeout", trace_id="c" * 32), row(2))
    with CaptureQueriesContext(connection) as captured:
        page(**query)
    [listed] = [q["sql"] for q in captured if '"total_ms"' in q["sql"]]
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN QUERY PLAN " + listed)
        plan = " ".join(str(step) for step in cursor.fetchall())
    assert f"USING INDEX {index}" in plan, plan


def test_the_list_does_not_load_whole_inputs(superuser: Client):
    store(row())
    (listed,) = superuser.get(LIST).context["cl"].result_list
    assert listed.get_deferred_fields() == {"preview", "message", "parameters", "answer"}
