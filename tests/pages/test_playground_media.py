"""Images and recordings in the playground of a real server with real models, in a browser."""

import base64
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from inference.tasks.media import EXAMPLE_RECORDING
from tests import processes
from tests.browsing import assert_accessible
from tests.pages.modules import give
from tests.pages.recorded_answers import IMAGE as PICTURE
from tests.processes import Web

pytestmark = pytest.mark.timeout(600)  # the first test waits for the start of the server
TASKS = ("audio-classification", "image-segmentation")


@pytest.fixture(scope="module")
def server() -> Iterator[Web]:
    from tests import every_model  # noqa: PLC0415 - imports torch

    with processes.web(env={"INFERENCE_PIPELINES": str(every_model.catalog(TASKS))}) as server:
        for task in TASKS:
            server.wait_until_answers(f"/pipelines/{task}/health/ready")
        yield server


def test_from_a_dropped_image_to_its_masks(page: Page, server: Web) -> None:
    page.goto(f"{server.url}/playground/image-segmentation")
    chosen = page.get_by_role("list", name="Chosen images").get_by_role("listitem")
    expect(chosen).to_contain_text("example.png")
    assert give(page, "h1", "drop", ("street.png", "image/png", base64.b64decode(PICTURE)))
    expect(chosen).to_contain_text(["street.png"])
    page.get_by_role("button", name="Run").click()
    masks = page.get_by_role("list", name="What is where").get_by_role("listitem")
    expect(masks.first).to_contain_text(re.compile(r"label \d+.*% of the image"))
    expect(page.get_by_role("img", name="The image that was sent")).to_have_js_property("naturalWidth", 320)
    assert_accessible(page)

    give(page, "h1", "drop", *((f"{n}.png", "image/png", base64.b64decode(PICTURE)) for n in range(2)))
    expect(chosen).to_have_count(2)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("list", name="What is where")).to_have_count(2)


def test_from_a_dropped_recording_to_its_labels(page: Page, server: Web) -> None:
    page.goto(f"{server.url}/playground/audio-classification")
    chosen = page.get_by_role("list", name="Chosen recordings").get_by_role("listitem")
    expect(chosen).to_contain_text("example.wav")
    give(page, "h1", "drop", ("dog.wav", "audio/wav", base64.b64decode(EXAMPLE_RECORDING)))
    expect(chosen).to_contain_text(["dog.wav"])
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("list", name="Labels and scores").get_by_role("listitem")).not_to_have_count(0)
