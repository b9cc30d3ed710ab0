"""What is photographed, and how a page comes into its state."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.admins import DASHBOARD, KEYS, LOG, USAGE

if TYPE_CHECKING:
    from playwright.sync_api import Page


def _nothing(page: "Page") -> None:
    pass


def click(selector: str) -> Callable[["Page"], None]:
    return lambda page: page.locator(selector).first.click()


def make_a_key(page: "Page") -> None:
    page.get_by_label("Owner").fill("acme")
    page.get_by_label("Name").fill("mobile app")
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator("#key").wait_for()


@dataclass(frozen=True)
class Shot:
    name: str
    site: str
    """Of ``sites.SITES``."""
    path: str
    act: Callable[["Page"], None] = _nothing
    """Brings the page into its state."""
    docs: bool = False
    """Whether the documentation has it."""
    logged_in: bool = True


SHOTS = (
    Shot("front", "used", "/", docs=True),
    Shot("front-loading", "loading", "/"),
    Shot("front-real", "real", "/"),
    Shot("docs", "used", "/docs"),
    Shot("docs-open", "used", "/docs", click("summary")),
    Shot("login", "new", "/admin/login/", logged_in=False),
    Shot("admin", "used", "/admin/"),
    Shot("log-empty", "new", LOG),
    Shot("log", "used", LOG, docs=True),
    Shot("log-nothing-found", "used", f"{LOG}?q=nothing-like-this"),
    Shot("log-detail", "used", LOG, click("#result_list tbody tr:has-text('blue') th a")),
    Shot("keys-empty", "new", KEYS),
    Shot("keys", "used", KEYS),
    Shot("keys-form", "used", f"{KEYS}add/"),
    Shot("keys-made", "used", f"{KEYS}add/", make_a_key),
    Shot("usage-empty", "new", USAGE),
    Shot("usage", "used", USAGE),
    Shot("dashboard-empty", "new", DASHBOARD),
    Shot("dashboard", "used", f"{DASHBOARD}?period=1h"),
    Shot("dashboard-of-one", "used", f"{DASHBOARD}?period=1h&pipeline=words"),
)
