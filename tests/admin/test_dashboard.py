"""The dashboard shows what the log has, by period, pipeline, key and dialect, and reads nothing but roll-ups."""

import re
import time
from datetime import UTC, datetime
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import DEFAULT_DB_ALIAS, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from inference.admin.shown import duration, number, percent
from inference.models import InferenceRequest, RollUpDelta
from inference.request_log.batch import Batch
from inference.request_log.counters import Counters
from inference.request_log.entry import Entry
from inference.request_log.rollup import reading
from inference.request_log.rollup.cube import DAY, HOUR
from inference.request_log.rollup.figures import total
from inference.request_log.rollup.merging import merge
from inference.request_log.rollup.reading import PERIODS
from tests.request_log.test_entry import entry

PAGE = reverse("admin:inference_rollup_changelist")
NOON = 1_800_057_600 + DAY // 2

pytestmark = pytest.mark.django_db


def write(*entries: Entry) -> None:
    Batch(entries, Counters()).insert()
    merge(DEFAULT_DB_ALIAS)


def answered(at: float, **fields: Any) -> Entry:
    known: dict[str, Any] = {
        "pipeline": "chat",
        "queue_ms": 1.0,
        "inference_ms": 20.0,
        "total_ms": 30.0,
        "batch_size": 4,
        "units": 9,
    }
    return entry(received_at=at, **(known | fields))


def refused(at: float, **fields: Any) -> Entry:
    return entry(received_at=at, status="refused", code="overloaded", **fields)


@pytest.fixture
def viewer(client: Client) -> Client:
    """Staff who may see the dashboard and nothing else."""
    user = User.objects.create(username="viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_rollup"))
    client.force_login(user)
    return client


@pytest.fixture
def _asked() -> None:
    now = time.time()
    write(
        *(answered(now - n, key="a1B2c3D4", tokens=15, computed_tokens=20.0) for n in range(40)),
        *(answered(now - n, pipeline="words", dialect="openai", total_ms=2000.0) for n in range(8)),
        entry(received_at=now, status="failed", code="timeout", pipeline="words", total_ms=30_000.0),
        refused(now, count=3),
    )


def page(viewer: Client, **query: str) -> str:
    response = viewer.get(PAGE, query)
    assert response.status_code == 200
    return unescape(response.content.decode())


def tile(html: str, label: str) -> list[str]:
    found = re.search(rf"<dt>{label}</dt><dd>([^<]*)(?:<span>([^<]*))?", html)
    assert found, label
    return [text for text in found.groups() if text]


def listed(html: str, dimension: str) -> dict[str, list[str]]:
    """The rows of a break-down."""
    table = html.partition(f'<h2 id="by-{dimension}">')[2].partition("</table>")[0].partition("<tbody>")[2]
    return {
        label: re.findall(r"<td>([^<]*)</td>", cells)
        for label, cells in re.findall(r"<tr.*?><th[^>]*><a[^>]*>([^<]*)</a></th>(.*?)</tr>", table)
    }


# Figures


@pytest.mark.usefixtures("_asked")
@pytest.mark.parametrize("period", PERIODS)
def test_tiles_sum_up_the_period(viewer: Client, period: str):
    html = page(viewer, period=period)
    assert tile(html, "requests")[0] == "52"
    assert tile(html, "answered") == ["48", "92.3 %"]
    assert (tile(html, "failed"), tile(html, "refused")) == (["1", "1.9 %"], ["3", "5.8 %"])
    assert tile(html, "padding")[0] == "25.0 %"
    assert tile(html, "batch size")[0] == "4"
    assert tile(html, "units")[0] == "432"


@pytest.mark.parametrize("period", PERIODS)
def test_what_was_written_with_a_clock_that_was_ahead_is_shown_when_it_is_time(period: str):
    write(answered(NOON - 60), answered(NOON + 2 * DAY, pipeline="later", key="later"))
    chosen = PERIODS[period]
    assert total(step.figures for step in reading.steps(chosen, {}, NOON)).requests == 1
    for dimension in reading.DIMENSIONS:
        [part], left_out = reading.parts(chosen, dimension, {}, NOON)
        assert (part.figures.requests, left_out) == (1, 0)
        assert "later" not in reading.choices(dimension, NOON)


@pytest.mark.usefixtures("_asked")
def test_break_downs_and_errors(viewer: Client):
    html = page(viewer, period="1h")
    pipelines = listed(html, "pipeline")
    assert list(pipelines) == ["chat", "words", "(not known)"]
    assert [cells[0] for cells in pipelines.values()] == ["40", "9", "3"]
    assert listed(html, "dialect")["openai"][0] == "8"
    assert listed(html, "key")["a1B2c3D4"][-1] == "25.0 %"
    errors = html.partition('class="dashboard-errors"')[2]
    assert re.findall(r'<th scope="row">(\w+)</th><td>(\w+)</td><td>(\d+)</td>', errors) == [
        ("overloaded", "refused", "3"),
        ("timeout", "failed", "1"),
    ]


@pytest.mark.usefixtures("_asked")
@pytest.mark.parametrize(
    ("query", "requests"),
    [
        ({"pipeline": "chat"}, "40"),
        ({"pipeline": ""}, "3"),
        ({"key": "a1B2c3D4"}, "40"),
        ({"pipeline": "words", "dialect": "openai"}, "8"),
        ({"pipeline": "*", "dialect": "openai"}, "8"),
        ({"pipeline": "words", "key": "a1B2c3D4"}, "0"),
        ({"pipeline": "unknown"}, "0"),
        ({"period": "3 years", "nonsense": "1"}, "52"),
    ],
)
def test_filters(viewer: Client, query: dict[str, str], requests: str):
    html = page(viewer, **query)
    assert tile(html, "requests")[0] == requests
    assert ("<figure" in html) == (requests != "0")
    for name, value in query.items():
        if name in reading.DIMENSIONS and value != "*":
            assert re.search(rf'<select name="{name}"[^>]*>.*<option value="{value}" selected>', html)


@pytest.mark.usefixtures("_asked")
def test_every_chart_has_a_table_and_a_title_for_each_step(viewer: Client):
    html = page(viewer, period="1h")
    assert html.count("<figure") == html.count("<details") == 8
    assert html.count("<rect") == 8 * 61
    assert re.search(r"<title>[^<]*\np50: 0.98 ms\np95: 0.98 ms\np99: 0.98 ms</title>", html)
    assert html.count('<th scope="row">') >= 8 * 61


# Periods


@pytest.mark.parametrize("name", PERIODS)
def test_charts_and_break_downs_are_of_the_same_requests(name: str):
    """Whatever the moment: a period begins with a whole span of the rows that both are read from."""
    period, now = PERIODS[name], NOON + 1234.5
    first = period.start(now)
    assert period.seconds <= now - first < period.seconds + period.parts
    assert first % period.parts == 0 == period.parts % period.rows
    assert period.step_s % period.rows == 0
    write(*(answered(at) for at in (first - 1, first, first + period.step_s, NOON, now)))
    steps = reading.steps(period, {}, now)
    assert total(step.figures for step in steps).requests == 4
    assert [step.figures.requests for step in steps[:2]] == [1, 1]
    assert 49 <= len(steps) <= 85
    ((part,), left_out) = reading.parts(period, "pipeline", {}, now)
    assert (part.figures.requests, left_out) == (4, 0)


def test_the_last_step_is_as_long_as_it_has_lasted():
    steps = reading.steps(PERIODS["7d"], {}, NOON + 600)
    assert [step.seconds for step in steps[-2:]] == [3 * HOUR, 600]


def test_a_break_down_lists_those_with_the_most_requests(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reading, "MOST_PARTS", 2)
    write(*(answered(NOON, key=f"key{n}", count=1) for n in (1, 2, 2, 3, 3, 3)))
    found, left_out = reading.parts(PERIODS["30d"], "key", {}, NOON)
    assert [(part.name, part.figures.requests) for part in found] == [("key3", 3), ("key2", 2)]
    assert left_out == 1


# The page


@pytest.mark.usefixtures("_asked")
@pytest.mark.parametrize("period", PERIODS)
def test_no_query_is_about_rows_of_the_log(viewer: Client, period: str):
    with CaptureQueriesContext(connection) as captured:
        page(viewer, period=period, key="a1B2c3D4")
    statements = [query["sql"] for query in captured]
    assert not [sql for sql in statements if InferenceRequest._meta.db_table in sql]
    assert not [sql for sql in statements if RollUpDelta._meta.db_table in sql]
    assert len(statements) <= 16


@pytest.mark.usefixtures("_asked")
def test_it_is_linked_from_the_index_of_the_admin(viewer: Client):
    for address in (reverse("admin:index"), reverse("admin:app_list", args=["inference"])):
        assert f'<a href="{PAGE}"' in viewer.get(address).content.decode()


def test_without_requests_it_says_so(viewer: Client):
    html = page(viewer)
    assert "No request in this period" in html
    assert tile(html, "requests")[0] == "0"


@pytest.mark.usefixtures("_asked")
def test_nothing_is_inline_that_the_content_security_policy_forbids(viewer: Client):
    response = viewer.get(PAGE)
    assert "default-src 'self'" in response["content-security-policy"]
    html = response.content.decode().partition('class="dashboard"')[2]
    assert "style=" not in html
    assert "<script" not in html
    assert "onclick" not in html


def test_names_are_only_text(viewer: Client):
    write(answered(time.time(), pipeline="<b>bold</b>", dialect='"><script>'))
    html = viewer.get(PAGE).content.decode()
    assert "<b>bold" not in html
    assert '"><script>' not in html


def test_visitors_and_staff_without_the_permission_see_nothing(client: Client):
    assert client.get(PAGE).status_code == 302
    client.force_login(User.objects.create(username="other", is_staff=True))
    assert client.get(PAGE).status_code == 403


def test_numbers_of_another_language_do_not_break_the_drawing(viewer: Client, settings: Any):
    settings.USE_I18N, settings.LANGUAGE_CODE, settings.USE_THOUSAND_SEPARATOR = True, "de", True
    write(answered(time.time()))
    html = page(viewer, period="1h")
    assert set(re.findall(r'<path class="[^"]*" d="([^"]*)"', html)) != set()
    assert not [path for path in re.findall(r' d="([^"]*)"', html) if "," in path]


def test_times_are_those_of_the_admin(viewer: Client, settings: Any):
    settings.TIME_ZONE = "Asia/Tokyo"
    moment = time.time()
    write(answered(moment))
    shown = datetime.fromtimestamp(moment - moment % 60 + 9 * HOUR, UTC)
    assert f"<title>{shown:%H:%M}\nanswered" in re.sub(r"\d\d \w{3} ", "", page(viewer, period="1h"))


# Texts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0"),
        (12345, "12,345"),
        (0.12345, "0.123"),
        (12.345, "12.3"),
        (1234.5, "1,234"),
        (4e-5, "< 0.001"),
    ],
)
def test_numbers(value: float | None, text: str):
    assert number(value) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [(None, "–"), (0.0123, "0.0123 ms"), (12.34, "12.3 ms"), (999.4, "999 ms"), (1234, "1.23 s"), (120_000, "2 min")],
)
def test_durations(ms: float | None, text: str):
    assert duration(ms) == text


@pytest.mark.parametrize(
    ("part", "text"),
    [(None, "–"), (0, "0 %"), (1, "100 %"), (0.123, "12.3 %"), (0.99999, "99.999 %"), (1e-5, "0.001 %")],
)
def test_percentages(part: float | None, text: str):
    assert percent(part) == text
