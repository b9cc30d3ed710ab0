"""The pages that people look at, in a browser."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from inference.tasks import TASKS
from tests import admins, processes
from tests.browsing import PHONE, NewPage, assert_accessible, tolerate
from tests.conftest import client
from tests.processes import Web

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def server() -> Iterator[Web]:
    with processes.web(env=processes.FAKE | processes.new_hold().env) as server:
        yield server
        assert "Traceback" not in server.log()


@pytest.fixture(scope="module")
def session(server: Web) -> Any:
    return admins.session(server)


@pytest.fixture
def page(new_page: NewPage, session: Any) -> Page:
    """Of an admin."""
    return new_page(storage_state=session)


@pytest.fixture
def http(server: Web) -> Iterator[httpx.Client]:
    with client(server) as opened:
        yield opened


def check(page: Page) -> None:
    """As it is, in dark colours, and on a phone."""
    assert_accessible(page)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.set_viewport_size(PHONE)
    assert_accessible(page)


@pytest.mark.usefixtures("session")
def test_who_logs_in_with_the_keyboard_comes_to_the_page_that_was_asked_for(new_page: NewPage, server: Web) -> None:
    page = new_page()
    page.goto(server.url + admins.LOG)
    check(page)
    expect(page.get_by_label("Username")).to_be_focused()
    for keys in (admins.NAME, "wrong"):
        page.keyboard.type(keys)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Please enter the correct username and password")).to_be_visible()
    page.get_by_label("Password").fill(admins.PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(server.url + admins.LOG)
    expect(page.get_by_role("heading", level=1)).to_have_text("Request log")


def test_a_request_is_found_in_the_log(page: Page, server: Web, http: httpx.Client) -> None:
    answered = http.post("/", content="a needle [MASK]").headers["x-request-id"]
    refused = http.post("/", content="").headers["x-request-id"]
    for request_id in (answered, refused):
        server.row(request_id)
    page.goto(server.url + admins.LOG)
    check(page)
    page.locator("#searchbar").fill(answered)
    page.locator("#searchbar").press("Enter")
    rows = page.locator("#result_list tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("needle")
    rows.get_by_role("link").first.click()
    expect(page.get_by_role("main")).to_contain_text(answered)
    check(page)


def test_a_key_is_made_used_and_revoked(page: Page, server: Web, http: httpx.Client) -> None:
    page.goto(server.url + admins.KEYS)
    check(page)
    page.get_by_role("link", name="Add API key").click()
    assert_accessible(page)
    page.get_by_label("Owner").fill("a team")
    page.get_by_label("Name").fill("a program")
    page.get_by_role("button", name="Save", exact=True).click()
    key = page.locator("#key").inner_text()
    assert_accessible(page)
    reply = http.post("/", content="test [MASK]", headers={"authorization": f"Bearer {key}"})
    assert reply.status_code == 200
    page.get_by_role("link", name="All keys").click()
    page.get_by_role("link", name="a program").click()
    page.get_by_role("link", name="Revoke").click()
    assert_accessible(page)
    page.get_by_role("button", name="Yes, revoke").click()
    expect(page.get_by_role("row", name="a program")).to_contain_text("revoked")
    page.goto(server.url + admins.USAGE)
    check(page)


def ask(server: Web, http: httpx.Client, *texts: str) -> None:
    """And wait until the dashboard has it."""
    for text in texts:
        server.row(http.post("/pipelines/default", content=text).headers["x-request-id"])
    processes.wait_until(lambda: server.rolled_up() == len(server.rows()), "roll-ups are merged")


def test_the_dashboard_shows_values_to_pointers_and_the_keyboard(page: Page, server: Web, http: httpx.Client) -> None:
    ask(server, http, "one [MASK]", "two [MASK]", "")
    page.goto(server.url + admins.DASHBOARD)
    check(page)
    plot = page.get_by_role("group", name="Requests per second")
    expect(plot.locator("title")).to_have_count(0)
    plot.focus()
    tip, spoken = plot.locator(".chart-tip"), plot.locator("[aria-live]")
    page.keyboard.press("End")
    expect(tip).to_contain_text("answered: ")
    expect(spoken).to_contain_text("refused: ")
    last = tip.inner_text()
    page.keyboard.press("ArrowLeft")
    expect(tip).not_to_have_text(last)
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    area = plot.locator("svg").bounding_box()
    assert area is not None
    page.mouse.move(area["x"] + area["width"] - 1, area["y"] + area["height"] / 2)
    expect(tip).to_have_text(last)
    expect(tip).to_be_in_viewport(ratio=1)


def test_the_dashboard_is_filtered_with_the_keyboard(page: Page, server: Web, http: httpx.Client) -> None:
    ask(server, http, "three [MASK]")
    page.goto(server.url + admins.DASHBOARD)
    page.get_by_role("link", name="1 hour").press("Enter")
    expect(page.get_by_role("link", name="1 hour")).to_have_attribute("aria-current", "true")
    page.get_by_label("Pipeline", exact=True).select_option("default")
    page.get_by_role("button", name="Show").press("Enter")
    page.wait_for_url("**pipeline=default**")
    answered = server.rows("pipeline = ? AND status = ?", "default", "ok")
    expect(page.locator("dt", has_text="answered").locator("+ dd")).to_contain_text(str(len(answered)))
    page.get_by_role("group", name="Total time").locator("xpath=..").locator("summary").press("Enter")
    expect(page.get_by_role("region", name="Figures of Total time").get_by_role("row").nth(1)).to_be_visible()
    assert_accessible(page)


def test_every_request_is_documented_on_a_page(page: Page, server: Web) -> None:
    page.goto(server.url + "/docs")
    page.locator("summary").first.press("Enter")
    check(page)


def test_the_front_page_leads_to_an_answer(new_page: NewPage, server: Web) -> None:
    page = new_page()
    page.goto(server.url)
    expect(page.get_by_role("heading", level=1)).to_have_text("fill-mask, served over HTTP and WebSocket")
    expect(page.get_by_role("article")).to_contain_text(TASKS["fill-mask"].summary)
    page.get_by_role("tab", name="curl").press("ArrowRight")
    expect(page.get_by_role("tab", name="Python")).to_be_focused()
    code = page.get_by_role("tabpanel").filter(visible=True)
    expect(code).to_contain_text("import ")
    expect(code).to_contain_text(server.url)
    code.get_by_role("button", name="Copy").click()
    expect(code.get_by_role("button")).not_to_have_text("Copy")
    check(page)
    page.get_by_role("link", name="Try it").click()
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("region", name="Answer", exact=True)).to_contain_text("word0")


def test_the_front_page_says_what_waits_as_it_changes(new_page: NewPage, server: Web, http: httpx.Client) -> None:
    page = new_page()
    page.clock.install()
    page.goto(server.url)
    card = page.get_by_role("article")
    expect(card).not_to_contain_text("Waiting")
    with ThreadPoolExecutor() as threads:
        with server.hold():
            asked = [threads.submit(http.post, "/", content="a [MASK]") for _ in range(4)]
            processes.wait_until(lambda: waiting(http) > 0, "some wait for those in the model")
            page.clock.fast_forward(6000)
            expect(card).to_contain_text("Waiting")
        assert {each.result().status_code for each in asked} == {200}


def test_the_front_page_of_somebody_who_has_logged_out_asks_no_more(new_page: NewPage, server: Web) -> None:
    page, asked = new_page(), list[str]()
    tolerate(page, "401")

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=401)

    page.clock.install()
    page.goto(server.url)
    page.route(server.url + "/", refuse)
    for _ in range(3):
        page.clock.fast_forward(6000)
        page.evaluate("fetch('/health/live').then(reply => reply.text())")  # comes after what the page has asked
    assert len(asked) == 1


def waiting(http: httpx.Client) -> int:
    [pipeline] = http.get("/info").json()["pipelines"]
    return int(pipeline["queue"])
