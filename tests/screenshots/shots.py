"""What is photographed, and how a page comes into its state."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.admins import DASHBOARD, KEYS, LIVE, LOG, USAGE
from tests.real import models

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


def run(page: "Page") -> None:
    page.get_by_role("button", name="Run", exact=True).click()
    page.locator(".pg-figures").wait_for()


def example(name: str) -> Callable[["Page"], None]:
    def act(page: "Page") -> None:
        page.get_by_role("button", name=name, exact=True).click()
        run(page)

    return act


def give(recording_or_image: Callable[[], Path]) -> Callable[["Page"], None]:
    def act(page: "Page") -> None:
        page.locator("input[type=file]").first.set_input_files(recording_or_image())
        run(page)

    return act


def chat(page: "Page") -> None:
    page.get_by_label("Message", exact=True).fill("Write two sentences about the sea.")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("button", name="Regenerate", exact=True).wait_for()


def photograph() -> Path:
    return next(file for file in sorted(models.folder("photographs").iterdir()) if file.suffix in (".jpg", ".png"))


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
    Shot("playground", "new", "/playground/words"),
    Shot("playground-answer", "new", "/playground/words", run),
    Shot("playground-loading", "loading", "/playground/words"),
    Shot("playground-failed", "new", "/playground/translator"),
    Shot("playground-chat", "real", "/playground/chat", chat, docs=True),
    Shot("playground-vectors", "real", "/playground/vectors", example("Which are alike")),
    Shot("playground-picture", "real", "/playground/pictures", give(photograph), docs=True),
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
    Shot("dashboard", "used", f"{DASHBOARD}?period=1h", docs=True),
    Shot("live-empty", "loading", LIVE),
    Shot("live", "used", LIVE, docs=True),
    Shot("dashboard-of-one", "used", f"{DASHBOARD}?period=1h&pipeline=words"),
)
