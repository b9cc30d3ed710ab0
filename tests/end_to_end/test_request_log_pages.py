"""The request log in a browser: found, looked at, run again and exported, on a screen and on a phone."""

import csv
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests import admins, processes
from tests.browsing import DESKTOP, PHONE, NewPage, assert_accessible
from tests.conftest import client
from tests.processes import Web

pytestmark = pytest.mark.timeout(600)

TRACE = "0af7651916cd43dd8448eb211c80319c"
BODY = {"inputs": "a needle [MASK]", "parameters": {"top_k": 2}}


@pytest.fixture(scope="module")
def server() -> Iterator[Web]:
    env = processes.FAKE | processes.new_hold().env | {"INFERENCE_LOG_INPUTS": "full"}
    with processes.web(env=env) as server:
        yield server
        assert "Traceback" not in server.log()


@pytest.fixture(scope="module")
def session(server: Web) -> Any:
    return admins.session(server)


@pytest.fixture
def page(new_page: NewPage, session: Any) -> Page:
    return new_page(storage_state=session)


@pytest.fixture
def http(server: Web) -> Iterator[httpx.Client]:
    with client(server) as opened:
        yield opened


@pytest.fixture
def answered(server: Web, http: httpx.Client) -> dict[str, Any]:
    """The row of a request of a trace."""
    reply = http.post("/", json=BODY, headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
    return server.row(reply.headers["x-request-id"])


@pytest.fixture
def refused(server: Web, http: httpx.Client) -> dict[str, Any]:
    return server.row(http.post("/", content="").headers["x-request-id"])


def rows_of(page: Page) -> Locator:
    return page.locator("#result_list tbody tr")


def check(page: Page) -> None:
    """As it is, and in dark colours on a phone."""
    assert_accessible(page)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.set_viewport_size(PHONE)
    assert_accessible(page)


def test_moments_trace_and_texts_of_a_request_are_in_its_row(answered: dict[str, Any]) -> None:
    moments = [answered[name] for name in ("admitted_ms", "sent_ms", "started_ms", "total_ms")]
    assert 0 < moments[0] <= moments[1] <= moments[2] <= moments[3]
    assert answered["first_token_ms"] is None
    assert (answered["trace_id"], answered["again_of"], answered["complete"]) == (TRACE, None, 1)
    assert (answered["preview"], answered["parameters"]) == ('["a needle [MASK]"]', '{"top_k":2}')
    assert '"a needle word0"' in answered["answer"]


def test_outcome_and_times_are_on_the_screen(page: Page, server: Web, answered: dict[str, Any]) -> None:
    page.goto(server.url + admins.LOG)
    for column in ("outcome", "batch", "queue", "inference", "total"):
        box = page.locator(f"#result_list .column-{column}").bounding_box()
        assert box
        assert box["x"] + box["width"] <= DESKTOP["width"]
    check(page)
    expect(rows_of(page).first.locator(".field-total")).to_be_visible()


def test_requests_are_filtered_with_the_keyboard(
    page: Page, server: Web, answered: dict[str, Any], refused: dict[str, Any]
) -> None:
    page.goto(server.url + admins.LOG)
    page.locator("summary", has_text="Code").press("Enter")
    page.get_by_role("link", name="empty", exact=True).press("Enter")
    expect(page.locator("summary", has_text="Code")).to_have_text("Code: empty")
    assert set(rows_of(page).locator(".field-outcome .log-second").all_inner_texts()) == {"empty"}
    page.locator("summary", has_text="Client").press("Enter")
    page.get_by_label("Address").fill("192.0.2.9")
    page.get_by_label("Address").press("Enter")
    expect(rows_of(page)).to_have_count(0)
    check(page)
    page.get_by_role("link", name="Clear all filters").click()
    expect(rows_of(page).filter(has_text="needle")).not_to_have_count(0)


def test_a_request_is_run_again(page: Page, server: Web, answered: dict[str, Any]) -> None:
    page.goto(f"{server.url}{admins.LOG}?q={answered['request_id']}")
    rows_of(page).get_by_role("link").first.press("Enter")
    for name in ("Admitted", "Sent to a worker", "Started in the model", "Answered"):
        expect(page.get_by_role("rowheader", name=name)).to_be_visible()
    check(page)
    page.get_by_role("button", name="Run again").press("Enter")
    expect(page.get_by_text("Both answers are the same.")).to_be_visible()
    check(page)
    processes.wait_until(lambda: server.rows("again_of = ?", answered["request_id"]), "it is in the log")
    [again] = server.rows("again_of = ?", answered["request_id"])
    same = ("preview", "parameters", "answer", "pipeline", "status")
    assert [again[name] for name in same] == [answered[name] for name in same]
    assert again["transport"] == "python"
    page.get_by_role("link", name="Back to the request").click()
    page.get_by_text("Was run again").get_by_role("link").click()
    expect(page.get_by_role("main")).to_contain_text(f"Repeats request {answered['request_id']}")


def test_a_filtered_list_is_exported(
    page: Page, server: Web, answered: dict[str, Any], refused: dict[str, Any]
) -> None:
    page.goto(f"{server.url}{admins.LOG}?code=empty")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as CSV").click()
    with download.value.path().open() as file:
        exported = list(csv.DictReader(file))
    assert {row["code"] for row in exported} == {"empty"}
    assert refused["request_id"] in {row["request_id"] for row in exported}
