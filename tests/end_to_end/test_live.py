"""The live page of a real server: its socket, and what people see in a browser."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests import admins, processes
from tests.browsing import PHONE, NewPage, assert_accessible, tolerate
from tests.conftest import CLIENT_S, client
from tests.processes import Web

PAGE = "/admin/inference/live/"
NO_MASK = "The input has no [MASK]; put one where a word is to be filled in."
TABLE = '[{name}]\ntask = "{task}"\nmodel = "acme/{name}"\nbackend = "tests.fakes"\n'

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def server() -> Iterator[Web]:
    path = processes.scratch() / "live.toml"
    tasks = {"words": "fill-mask", "chat": "text-generation"}
    path.write_text("\n".join(TABLE.format(name=name, task=task) for name, task in tasks.items()))
    with processes.web(env={"INFERENCE_PIPELINES": str(path)}) as server:
        server.wait_until_loaded()
        yield server
        assert "Traceback" not in server.log()


@pytest.fixture(scope="module")
def session(server: Web) -> Any:
    return admins.session(server)


@pytest.fixture
def page(new_page: NewPage, session: Any) -> Page:
    return new_page(storage_state=session)


@contextmanager
def browser_of(server: Web) -> Iterator[httpx.Client]:
    """Logged in, with a session of its own."""
    with client(server) as http:
        http.get("/admin/login/")
        token = {"csrfmiddlewaretoken": http.cookies["csrftoken"]}
        http.post("/admin/login/", data={"username": admins.NAME, "password": admins.PASSWORD, **token})
        yield http


def open_socket(server: Web, http: httpx.Client | None = None, **headers: str) -> ClientConnection:
    cookies = {"cookie": f"sessionid={http.cookies['sessionid']}"} if http else {}
    url = server.url.replace("http", "ws") + "/ws/live/"
    return connect(url, additional_headers=cookies | headers, proxy=None, open_timeout=CLIENT_S)


def close_code(socket: ClientConnection) -> int | None:
    """Of the close that comes after any number of frames."""
    try:
        while True:
            socket.recv(timeout=CLIENT_S)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


# The socket


@pytest.mark.usefixtures("session")
def test_it_is_for_pages_of_this_server_that_staff_has_opened(server: Web) -> None:
    with browser_of(server) as http:
        for who, origin in ((None, server.url), (http, "http://evil.example"), (http, "http://127.0.0.1:1")):
            with pytest.raises(InvalidStatus) as refused:
                open_socket(server, who, origin=origin)
            assert refused.value.response.status_code == 403
        for headers in ({"origin": server.url}, {}):
            with open_socket(server, http, **headers) as socket:
                frame = json.loads(socket.recv(timeout=CLIENT_S))
                assert [row["name"] for row in frame["pipelines"]] == ["words", "chat"]
                (host,) = frame["hosts"]
                assert (host["pid"], host["state"]) == (str(server.pid), "ready")


@pytest.mark.usefixtures("session")
def test_it_ends_with_the_session(server: Web) -> None:
    with browser_of(server) as http, browser_of(server) as other:
        with open_socket(server, http) as logged_out, open_socket(server, other) as no_staff:
            token = {"csrfmiddlewaretoken": http.cookies["csrftoken"]}
            assert http.post("/admin/logout/", data=token).status_code == 200
            assert close_code(logged_out) == 1008
            _execute(server, "UPDATE auth_user SET is_staff = 0")
            assert close_code(no_staff) == 1008
        with pytest.raises(InvalidStatus):
            open_socket(server, other)
        _execute(server, "UPDATE auth_user SET is_staff = 1")


def _execute(server: Web, statement: str) -> None:
    with closing(sqlite3.connect(server.database, timeout=processes.WAIT_S)) as connection, connection:
        connection.execute(statement)


# In a browser


def row(page: Page, section: str, name: str) -> Any:
    return page.locator(f'section[data-section="{section}"] tbody tr', has_text=name).first


def test_refusals_and_errors_appear_as_they_happen(page: Page, server: Web) -> None:
    page.goto(server.url + "/admin/")
    page.get_by_role("link", name="Live", exact=True).click()
    expect(page.get_by_text("Connected", exact=True)).to_be_visible()
    page.evaluate("window.loadedOnce = true")
    assert httpx.post(f"{server.url}/pipelines/words", content="a secret", trust_env=False).status_code == 422
    expect(row(page, "errors", NO_MASK)).to_contain_text("validation")
    expect(row(page, "pipelines", "words")).to_have_attribute("data-state", "ready")
    assert page.evaluate("window.loadedOnce")
    assert "a secret" not in page.content()
    assert_accessible(page)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.set_viewport_size(PHONE)
    assert_accessible(page)
    row(page, "errors", NO_MASK).get_by_role("link").click()
    expect(page).to_have_url(re.compile(r"/admin/inference/inferencerequest/\?q=\w+$"))


def test_a_pipeline_is_unloaded_and_loaded_with_the_keyboard(
    page: Page, new_page: NewPage, session: Any, server: Web
) -> None:
    other = new_page(storage_state=session)
    other.goto(server.url + PAGE)
    expect(other.get_by_text("Connected", exact=True)).to_be_visible()
    page.goto(server.url + PAGE)
    expect(page.get_by_text("Connected", exact=True)).to_be_visible()
    for order, state in (("Unload", "unloaded"), ("Load", "ready")):
        row(page, "pipelines", "chat").get_by_role("link", name=f"{order} chat", exact=True).focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name=f"{order} pipeline chat")).to_be_visible()
        page.get_by_role("button", name=f"Yes, {order.lower()}").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_text(f"{order} pipeline chat: ordered.")).to_be_visible()
        expect(row(page, "pipelines", "chat")).to_have_attribute("data-state", state)
        expect(row(page, "workers", "chat")).to_have_attribute("data-state", state)
        expect(other.get_by_role("status").filter(has_text=f"Pipeline chat: {state}")).to_have_count(1)


def test_a_server_that_goes_and_comes_back(page: Page, server: Web) -> None:
    tolerate(page, "ERR_CONNECTION_REFUSED", "WebSocket connection to", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET")
    page.goto(server.url + PAGE)
    expect(page.get_by_text("Connected", exact=True)).to_be_visible()
    with browser_of(server) as http, open_socket(server, http) as socket:
        before = page.locator('[data-section="process"] [data-field="key"]').inner_text()
        assert server.terminate() == 0
        assert close_code(socket) == 1012
    expect(page.get_by_text("Not connected. Trying again")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("Not connected.")
    assert_accessible(page)
    server.start()
    expect(page.get_by_text("Connected", exact=True)).to_be_visible()
    expect(page.get_by_role("status")).not_to_have_text("Not connected.")  # but what has changed meanwhile
    expect(page.locator('[data-section="process"] [data-field="key"]')).not_to_have_text(before)
    server.wait_until_answers("/health/ready")


@pytest.mark.usefixtures("session")
def test_who_logs_out_elsewhere_is_told(new_page: NewPage, server: Web) -> None:
    with browser_of(server) as http:
        cookie = {"name": "sessionid", "value": http.cookies["sessionid"], "url": server.url}
        page = new_page()
        page.context.add_cookies([cookie])  # type: ignore[list-item]
        page.goto(server.url + PAGE)
        expect(page.get_by_text("Connected", exact=True)).to_be_visible()
        http.post("/admin/logout/", data={"csrfmiddlewaretoken": http.cookies["csrftoken"]})
    expect(page.get_by_text("you are logged out or may not see this page any more")).to_have_count(2)  # and it is said
