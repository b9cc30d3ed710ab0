"""What the harness of browser tests finds."""

import asyncio
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.browsing import DESKTOP, PHONE, NewPage, assert_accessible, tolerate, trouble

CSP = """<meta http-equiv="content-security-policy" content="default-src 'none'">"""
IMAGE = "<img alt='' src='{}'>"
OTHER = "http://a.example:9/b.png"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("<script>console.error('bad')</script>", "console: bad"),
        ("<script>throw new Error('ouch')</script>", "exception: Error: ouch"),
        (f"{CSP}<p style='color: red'>", "style-src-attr forbids inline"),
        (f"{IMAGE.format('data:image/gif;base64,R0lGODlhAQABAAAAACw=')}{IMAGE.format(OTHER)}", f"asks {OTHER}"),
        ("<script>new WebSocket('ws://a.example:9/')</script>", "asks ws://a.example:9/"),
    ],
)
def test_what_goes_wrong_in_a_page(page: Page, document: str, expected: str) -> None:
    page.goto(f"data:text/html,{quote(document)}")
    while not any(expected in line for line in trouble(page)):
        page.wait_for_timeout(10)
    tolerate(page, "bad", "ouch", "style", "a.example:9", "ERR_")
    assert trouble(page) == []


def test_what_is_not_accessible(new_page: NewPage) -> None:
    page = new_page(viewport=PHONE, color_scheme="dark", reduced_motion="reduce")
    good = "<html lang='en'><title>A page</title><main><h1>Words</h1><p>Text</p></main>"
    page.set_content(good)
    assert_accessible(page)
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark) and (prefers-reduced-motion: reduce)').matches")

    page.set_content(f"{good}<input style='width: 10px'><p style='color: #999; background: #aaa'>Words</p>")
    with pytest.raises(
        AssertionError, match=r"(?s)color-contrast.*critical label: Form elements must have labels\n  input"
    ):
        assert_accessible(page)

    page.set_content(f"{good}<p style='width: 400px'>Words</p>")
    with pytest.raises(AssertionError, match="scrolls 18 pixels sideways"):
        assert_accessible(page)


def test_pages_share_nothing(new_page: NewPage) -> None:
    first, second = new_page(), new_page()
    assert first.viewport_size == DESKTOP
    first.set_content("<p>one")
    expect(first.get_by_text("one")).to_be_visible()
    expect(second.get_by_text("one")).to_have_count(0)
    assert first.context != second.context


@pytest.mark.usefixtures("_browser")
async def test_other_tests_have_loops_of_their_own() -> None:
    await asyncio.sleep(0)
