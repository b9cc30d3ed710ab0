"""What the playground makes of answers, in a browser: one of each output kind."""

import re
from typing import get_args

import jsonschema
import pytest
from playwright.sync_api import Locator, Page, expect

from inference.tasks.base import Output
from inference.tasks.outputs import OUTPUTS
from tests.browsing import PHONE, NewPage, assert_accessible, tolerate
from tests.pages.modules import open_modules, show_answers
from tests.pages.recorded_answers import ANSWERS, CONTEXT, HEIGHT, NAMES, WIDTH

OF_CLIENTS = "labels of clients"
AS_JSON = {"something new", "not of its kind"}


def show(page: Page, *names: str) -> None:
    open_modules(page)
    show_answers(page, {name: ANSWERS[name] for name in names or ANSWERS})


def section(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


def marks(part: Locator) -> list[str]:
    """Texts that are marked, without their labels."""
    texts: list[str] = part.locator("mark").evaluate_all("marks => marks.map(mark => mark.firstChild.data)")
    return texts


def test_there_is_an_answer_of_each_kind() -> None:
    kinds = {asked["description"]["output"]: asked["output"] for asked in ANSWERS.values()}
    assert kinds.keys() >= set(get_args(Output))
    for name, asked in ANSWERS.items():
        kind, output = asked["description"]["output"], asked["output"]
        if name not in AS_JSON | {OF_CLIENTS}:
            for each in output if isinstance(asked["inputs"], list) and "chat" not in name else [output]:
                if "error" not in each:
                    jsonschema.validate(each, dict(OUTPUTS[kind]))


def test_answers_are_shown_as_people_read_them(page: Page) -> None:
    show(page)
    tolerate(page, "This answer is shown as JSON")
    shown_as_json = page.locator("section", has=page.locator("pre")).evaluate_all(
        "all => all.map(each => each.ariaLabel)"
    )
    assert set(shown_as_json) == AS_JSON
    for name in ANSWERS.keys() - AS_JSON - {"several, one of them an error"}:
        assert section(page, name).locator(".summary").first.text_content(), name

    expect(section(page, "labels").locator(".summary")).to_have_text("joy 99.98 %")
    expect(section(page, "labels").get_by_role("listitem").nth(2)).to_contain_text("< 0.01 %")
    clients = section(page, OF_CLIENTS)
    expect(clients.get_by_role("listitem")).to_have_count(10)
    clients.get_by_role("button", name="Show 2 more").click()
    expect(clients.get_by_role("listitem")).to_have_count(12)
    expect(section(page, "labels, zero-shot").locator(".summary")).to_have_text("urgent 83.0 %")
    expect(section(page, "labels, logits").get_by_role("listitem").nth(1)).to_contain_text("-4.1")

    expect(section(page, "scores").get_by_role("listitem").first).to_contain_text("A cat is asleep on a couch.")
    expect(section(page, "ranking").get_by_role("listitem").first).to_contain_text("Berlin has 3.7 million")
    assert section(page, "text").locator(".summary").text_content() == ANSWERS["text"]["output"][0]["generated_text"]
    expect(section(page, "text of a chat with images").get_by_role("img")).to_be_visible()
    expect(section(page, "vectors of texts").get_by_role("row")).to_have_text(
        [re.compile("123"), re.compile("1 The cat.*1.00.*0.92"), re.compile("2 A cat"), re.compile("3 The train.*1.00")]
    )
    tokens = section(page, "vectors of tokens")
    expect(tokens.locator(".summary").first).to_contain_text("5 vectors of 32 numbers")
    tokens.get_by_label("Show vector").fill("5")
    expect(tokens).to_contain_text("Vector 5: 32 numbers")
    assert marks(section(page, "cells")) == ["3700000", "2100000"]
    expect(section(page, "cells")).to_contain_text("the sum of these cells")
    decisions = section(page, "decisions")
    expect(decisions.get_by_role("region", name="tone")).to_contain_text("angry confidence 42.0 %")
    expect(decisions.get_by_role("region", name="urgency")).to_contain_text("1: high")
    several = section(page, "several, one of them an error")
    expect(several.get_by_role("list").first.locator("> li")).to_contain_text(
        ["joy", "The input is empty; send a text.", "cottage"]
    )
    expect(section(page, "something new")).to_contain_text('"light"')


def test_places_in_texts_are_counted_in_code_points(page: Page) -> None:
    show(page, "spans", "answers", "answers, several", "answers in a long text")
    spans = section(page, "spans")
    assert marks(spans) == [span["word"] for span in ANSWERS["spans"]["output"]]
    expect(spans.locator("mark").nth(1)).to_have_text("José 𝒜. MüllerPER")
    spans.get_by_text("As a table").click()
    expect(spans.get_by_role("row").nth(5)).to_contain_text("Os\u0301lo")
    assert marks(section(page, "answers")) == ["1385"]
    assert marks(section(page, "answers in a long text")) == ["below the mat"]
    several = section(page, "answers, several")
    several.get_by_role("button", name="1386").click()
    assert marks(several) == ["1386"]
    several.get_by_role("button", name="(no answer)").click()
    assert marks(several) == []

    long = section(page, "answers in a long text")
    long.get_by_role("button", name="Show the whole text").click()
    assert marks(long) == ["below the mat"]
    assert len(long.locator(".marked").text_content() or "") > 40_000
    expect(long.locator("mark")).to_be_in_viewport()

    for text in (NAMES, CONTEXT, "plain", ""):
        ends = page.evaluate(
            """async (text) => {
              const { codePoints, unitOffsets } = await import("/playground/answers/codepoints.js");
              const unit = unitOffsets(text);
              const offsets = Array.from({ length: codePoints(text) + 2 }, (_, offset) => offset);
              return [...offsets, ...offsets.toReversed()].map((offset) => text.slice(0, unit(offset)));
            }""",
            text,
        )
        beginnings = [text[:offset] for offset in range(len(text) + 2)]
        assert ends == beginnings + beginnings[::-1]


def test_words_are_put_into_the_place_of_masks(page: Page) -> None:
    show(page, "fills", "fills of two masks")
    one, two = section(page, "fills"), section(page, "fills of two masks")
    expect(one.locator(".summary")).to_have_text("Paris 🗼 is the capital of France.")
    one.get_by_role("button", name="city").press("Enter")
    expect(one.locator(".summary")).to_have_text("Paris 🗼 is the city of France.")
    two.get_by_role("button", name="sea").click()
    two.get_by_role("button", name="here").click()
    expect(two.locator(".summary")).to_have_text("The sea is here.")
    expect(two.get_by_role("button", name="sky")).to_have_attribute("aria-pressed", "false")


def place(part: Locator, on: Locator) -> list[float]:
    """Left, top, right and bottom in pixels of the image that was sent."""
    box, whole = part.bounding_box(), on.bounding_box()
    assert box
    assert whole
    scale = WIDTH / whole["width"]
    left, top = (box["x"] - whole["x"]) * scale, (box["y"] - whole["y"]) * scale
    return [left, top, left + box["width"] * scale, top + box["height"] * scale]


def test_what_was_found_lies_over_the_image(page: Page) -> None:
    show(page, "boxes", "masks", "depth", "answers about a page")
    boxes = section(page, "boxes")
    image, drawn = boxes.get_by_role("img"), boxes.locator(".box")
    assert place(drawn.nth(0), image) == pytest.approx([50, 40, 160, 150], abs=0.5)
    assert place(drawn.nth(1), image) == pytest.approx([228, 0, WIDTH, 72], abs=0.5)
    slider = boxes.get_by_label("Score from")
    slider.fill("90")
    expect(boxes.get_by_role("listitem").and_(boxes.locator(":visible"))).to_have_count(1)
    expect(drawn.nth(1)).to_be_hidden()
    first = boxes.get_by_role("button", name="house").first
    first.focus()
    expect(drawn.nth(0)).to_have_class(re.compile("picked"))

    masks = section(page, "masks")
    sky, house = masks.get_by_role("listitem").all()
    expect(sky).to_contain_text(f"{100 * 111 / HEIGHT:.1f} % of the image")
    expect(house).to_contain_text("97.0 %")
    colours = masks.locator("canvas").first.evaluate(
        "canvas => [20, 180].map(y => [...canvas.getContext('2d').getImageData(5, y, 1, 1).data])"
    )
    assert colours == [[31, 95, 191, 255], [0, 0, 0, 0]]
    sky.get_by_role("checkbox").uncheck()
    expect(masks.locator("canvas").first).to_be_hidden()

    depth = section(page, "depth")
    depth.get_by_role("img", name="depth").hover(position={"x": 10, "y": 100})
    expect(depth).to_contain_text(re.compile(r"Here: 11\.\d"))

    about = section(page, "answers about a page")
    expect(about.locator(".found")).to_have_text(["12.50", "EUR"])
    about.get_by_role("button", name="Total").click()
    expect(about.locator(".found")).to_have_text(["Total"])


def test_recordings_play_from_a_piece_of_the_text(page: Page) -> None:
    show(page, "transcript of words", "transcript of phrases", "media")
    words = section(page, "transcript of words")
    words.get_by_role("button", name="fox").click()
    expect(words.get_by_role("button", name="fox")).to_have_class("now")
    assert words.locator("audio").evaluate("audio => audio.currentTime") >= 0.06
    expect(section(page, "transcript of phrases").get_by_role("listitem").nth(1)).to_have_text(
        "0:02.4It is over the lazy dog."
    )
    media = section(page, "media")
    expect(media).to_contain_text("0.1 s, audio/wav")
    with page.expect_download() as download:
        media.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "example.wav"


def test_answers_can_be_read_by_everyone(new_page: NewPage) -> None:
    """In all widths and colours."""
    page = new_page(reduced_motion="reduce")
    kinds = {asked["description"]["output"]: name for name, asked in ANSWERS.items()}
    show(page, *kinds.values())
    assert_accessible(page)
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="dark")
    assert_accessible(page)
