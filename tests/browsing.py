"""Debian's Chromium, driven by Playwright: pages of real servers as people see them.

    from tests.browsing import PHONE, NewPage, assert_accessible, tolerate

    def test_a_page(page: Page, server: Web) -> None:                 # from playwright.sync_api
        page.goto(server.url)
        page.get_by_role("button", name="Run").click()
        expect(page.get_by_role("status")).to_have_text("done")       # waits; never sleep
        assert_accessible(page)
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        page.set_viewport_size(PHONE)
        assert_accessible(page)                                       # sideways scrolling is a violation too

    def test_a_server_that_is_away(new_page: NewPage) -> None:
        page = new_page(viewport=PHONE, color_scheme="dark")          # any option of Browser.new_context
        tolerate(page, "ERR_CONNECTION_REFUSED")

``page`` and ``new_page`` are fixtures (``tests/conftest.py`` has them). The browser is shared by the tests of a
process; each page has a context, thus cookies and storage, of its own. A test fails at its end if one of its pages
logged an error, raised one, broke its Content-Security-Policy, or asked another origin for anything, unless
``tolerate`` has named it. Without Chromium the tests that need it are skipped.

Playwright runs an event loop in this thread, which it marks as running while a test uses it: such a test can be
neither a coroutine nor use Django's database. Other tests of the process notice nothing.
"""

import asyncio
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests import processes

if TYPE_CHECKING:
    from playwright.sync_api import (
        Browser,
        BrowserContext,
        ConsoleMessage,
        Page,
        Request,
        ViewportSize,
        WebError,
        WebSocket,
    )

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"),
    *("--no-proxy-server", "--host-resolver-rules=MAP *.example 127.0.0.1", "--use-fake-device-for-media-stream"),
)
"""Hosts below ``.example`` are this machine. Camera and microphone are Chromium's own, for pages that may use them."""
DESKTOP: "ViewportSize" = {"width": 1280, "height": 800}
PHONE: "ViewportSize" = {"width": 390, "height": 844}
GRAVE = {"serious", "critical"}
OF_DJANGO = ("#changelist-search #searchbar", "#changelist-search .small a", ".breadcrumbs > a")
"""What the admin's own templates get wrong: a field without a label that is seen, links without underlines in text."""
WATCH = """
document.addEventListener("securitypolicyviolation", (event) => {
  const {effectiveDirective, blockedURI, sample, sourceFile, lineNumber} = event;
  console.error(`${effectiveDirective} forbids ${blockedURI} ${sample} at ${sourceFile}:${lineNumber}`);
});
"""
AT_REST = """() => Promise.allSettled(
  document.getAnimations().filter((each) => each instanceof CSSTransition).map((each) => each.finished))"""
"""Colours that are on their way to others, as after a change of the scheme, would be judged half way."""

NewPage = Callable[..., "Page"]


class Watch:
    """What went wrong in the pages of a context, as lines of text."""

    def __init__(self, context: "BrowserContext") -> None:
        self._context = context
        self._lines: list[str] = []
        self._tolerated: list[str] = []
        _watches[context] = self
        context.add_init_script(WATCH)
        context.on("console", self._logged)
        context.on("weberror", self._raised)
        context.on("request", self._asked)
        context.on("page", lambda page: page.on("websocket", lambda socket: self._opened(page, socket)))

    def tolerate(self, *patterns: str) -> None:
        self._tolerated += patterns

    def end(self) -> list[str]:
        """Close the context; returns what went wrong in it."""
        self._context.close()
        del _watches[self._context]
        return self.trouble

    @property
    def trouble(self) -> list[str]:
        return [line for line in self._lines if not any(re.search(each, line) for each in self._tolerated)]

    def _logged(self, message: "ConsoleMessage") -> None:
        if message.type == "error":
            self._lines.append(f"console: {message.text} ({message.location['url']})")

    def _raised(self, error: "WebError") -> None:
        self._lines.append(f"exception: {error.error.stack or error.error.message}")

    def _asked(self, request: "Request") -> None:
        if request.is_navigation_request() and request.frame.parent_frame is None:
            return  # tests go where they like; what a link or form leads to, they see
        self._compare(request.url, request.frame.url)

    def _opened(self, page: "Page", socket: "WebSocket") -> None:
        self._compare(socket.url, page.url)

    def _compare(self, url: str, page: str) -> None:
        if urlsplit(url).netloc not in ("", urlsplit(page).netloc):  # data: and blob: have none
            self._lines.append(f"foreign: {page} asks {url}")


_watches: dict["BrowserContext", Watch] = {}
"""Of the contexts that are open."""


def tolerate(page: "Page", *patterns: str) -> None:
    """Let lines that match one of these regular expressions pass."""
    _watches[page.context].tolerate(*patterns)


def trouble(page: "Page") -> list[str]:
    """What went wrong so far and is not tolerated."""
    return _watches[page.context].trouble


def assert_accessible(page: "Page") -> None:
    """Nothing serious for axe-core, and nothing to scroll sideways."""
    from axe_playwright_python.base import AXE_SCRIPT  # noqa: PLC0415 - half a megabyte

    page.evaluate(AT_REST)
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    # Preloading would read stylesheets again, against the policy of the page, for rules that are not used.
    options = {"resultTypes": ["violations"], "preload": False}
    context = {"exclude": [[selector] for selector in OF_DJANGO]}
    found = page.evaluate("([context, options]) => axe.run(context, options)", [context, options])["violations"]
    grave = [violation for violation in found if violation["impact"] in GRAVE]
    assert not grave, "\n".join([f"{page.url} is not accessible:", *map(_as_text, grave)])
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{page.url} scrolls {wide} pixels sideways"


def _as_text(violation: dict[str, Any]) -> str:
    lines = [f"{violation['impact']} {violation['id']}: {violation['help']}"]
    for node in violation["nodes"]:
        lines.append(f"  {' '.join(map(str, node['target']))}: {node['html'][:200]}")
        lines += [f"    {check['message']}" for kind in ("any", "all", "none") for check in node[kind]]
    return "\n".join(lines)


@contextmanager
def chromium() -> Iterator["Browser"]:
    from playwright.sync_api import expect, sync_playwright  # noqa: PLC0415 - takes a third of a second

    expect.set_options(timeout=1000 * processes.WAIT_S)
    environment: dict[str, str | float | bool] = {"PATH": "/usr/bin:/bin", "HOME": str(processes.scratch())}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=OPTIONS, env=environment)
        yield browser
        browser.close()


def watched(browser: "Browser", **options: Any) -> tuple["Page", Watch]:
    """A page in a new context."""
    context = browser.new_context(**{"viewport": DESKTOP, "color_scheme": "light", **options})
    context.set_default_timeout(1000 * processes.WAIT_S)
    watch = Watch(context)
    return context.new_page(), watch


# Fixtures


@contextmanager
def _marked_as_running(loop: asyncio.AbstractEventLoop | None) -> Iterator[None]:
    """Playwright marks its loop, which waits in a greenlet, and expects the mark whenever it is called."""
    asyncio._set_running_loop(loop)
    try:
        yield
    finally:
        asyncio._set_running_loop(None)


@pytest.fixture(scope="session")
def _browser() -> Iterator[tuple["Browser", asyncio.AbstractEventLoop]]:
    if not CHROMIUM:
        pytest.skip("there is no Chromium")
    opened = ExitStack()
    with _marked_as_running(None):
        browser = opened.enter_context(chromium())
        loop = asyncio.get_running_loop()
    yield browser, loop
    with _marked_as_running(loop):
        opened.close()


@pytest.fixture
def new_page(_browser: tuple["Browser", asyncio.AbstractEventLoop]) -> Iterator[NewPage]:
    """Makes a page in a new context; keywords are options of ``Browser.new_context``."""
    browser, loop = _browser
    watches: list[Watch] = []

    def make(**options: Any) -> "Page":
        page, watch = watched(browser, **options)
        watches.append(watch)
        return page

    with _marked_as_running(loop):
        yield make
        lines = [line for watch in watches for line in watch.end()]
    assert not lines, "\n".join(["in the browser:", *lines])


@pytest.fixture
def page(new_page: NewPage) -> "Page":
    """At 1280 by 800 pixels, in light colours."""
    return new_page()
