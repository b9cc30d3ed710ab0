"""Takes the pictures: 1280 and 390 pixels wide, in light and in dark colours."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from PIL import Image

from tests import browsing
from tests.browsing import DESKTOP, PHONE
from tests.processes import ROOT
from tests.screenshots import sites
from tests.screenshots.shots import SHOTS, Shot
from tests.screenshots.sites import SITES, Site

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FOLDER = ROOT / "screenshots"
DOCS = ROOT / "docs" / "screenshots"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
JUDGED = ((DESKTOP, "light"), (PHONE, "dark"))
"""For accessibility, which takes a second."""
COLOURS = 256


def main(names: Sequence[str]) -> int:
    """The exit code: 1 if a page logged an error, broke its policy or is not accessible."""
    chosen = [shot for shot in SHOTS if not names or shot.name.startswith(tuple(names))]
    FOLDER.mkdir(exist_ok=True)
    trouble: list[str] = []
    with browsing.chromium() as browser:
        for name, open_site in SITES.items():
            shots = [shot for shot in chosen if shot.site == name]
            if not sites.is_there(name):
                print(f"{len(shots)} pages need the models of make test-real")
            elif shots:
                with open_site() as site:
                    for shot in shots:
                        trouble += _take(browser, site, shot)
    for line in trouble:
        print(line)
    return 1 if trouble else 0


def _take(browser: "Browser", site: Site, shot: Shot) -> list[str]:
    """Each width in a page of its own; returns what went wrong."""
    trouble: list[str] = []
    session = site.session if shot.logged_in else None
    for viewport in (DESKTOP, PHONE):
        page, watch = browsing.watched(browser, viewport=viewport, storage_state=session, reduced_motion="reduce")
        page.goto(site.server.url + shot.path)
        shot.act(page)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            file = FOLDER / f"{shot.name}-{viewport['width']}-{scheme}.png"
            page.screenshot(path=file, full_page=True, animations="disabled")
            if (viewport, scheme) in JUDGED:
                trouble += _judge(page, file.name)
            if shot.docs and (viewport, scheme) in JUDGED:
                page.screenshot(path=DOCS / file.name, animations="disabled")
                _compress(DOCS / file.name)
        trouble += [f"{shot.name}: {line}" for line in watch.end()]
        print(shot.name, viewport["width"], flush=True)
    return trouble


def _judge(page: "Page", name: str) -> list[str]:
    try:
        browsing.assert_accessible(page)
    except AssertionError as error:
        return [f"{name}: {error}"]
    return []


def _compress(file: Path) -> None:
    with Image.open(file) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    if not browsing.CHROMIUM:
        sys.exit("There is no Chromium: apt-get install chromium")
    if sys.argv[1:] == []:
        shutil.rmtree(FOLDER, ignore_errors=True)
    DOCS.mkdir(exist_ok=True)
    sys.exit(main(sys.argv[1:]))
