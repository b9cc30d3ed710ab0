"""The playground's fields for images and recordings, in a browser."""

import base64
import io
import wave
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect

from inference.tasks.media import EXAMPLE_IMAGE, EXAMPLE_RECORDING, IMAGES, RECORDINGS, media_type
from tests.browsing import PHONE, NewPage, assert_accessible
from tests.pages.modules import give, open_modules, show_input

BYTES = 300_000
IMAGE = base64.b64decode(EXAMPLE_IMAGE)
RECORDING = base64.b64decode(EXAMPLE_RECORDING)
VALUE = """async (name) => {
  const read = async (value) => {
    if (value instanceof Blob) {
      const bytes = new Uint8Array(await value.arrayBuffer());
      const data = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
      return { name: value.name, type: value.type, data };
    }
    if (Array.isArray(value)) return Promise.all(value.map(read));
    if (value === null || typeof value !== "object") return value;
    const entries = Object.entries(value).map(async ([key, each]) => [key, await read(each)]);
    return Object.fromEntries(await Promise.all(entries));
  };
  try { return await read(forms[name].value()); } catch (error) { return error.message; }
}"""


def description(form: str, kind: str, most: int = 4) -> dict[str, Any]:
    return {"input": {"form": form, "kind": kind}, "limits": {"inputs": most, "media_bytes": BYTES}}


def value(page: Page, name: str) -> Any:
    return page.evaluate(VALUE, name)


def noise(width: int, height: int, kind: str) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(written := io.BytesIO(), kind)
    return written.getvalue()


def test_images_are_dropped_pasted_and_chosen(page: Page) -> None:
    open_modules(page)
    show_input(page, "images", description("media", "image"))
    assert value(page, "images") == "Choose an image first."
    page.evaluate("image => forms.images.fill(image)", EXAMPLE_IMAGE)
    assert value(page, "images") == {"name": "example.png", "type": "image/png", "data": EXAMPLE_IMAGE}

    assert give(page, "h1", "drop", ("a.png", "image/png", IMAGE), ("b.bmp", "", noise(2, 2, "BMP")))
    expect(page.get_by_role("listitem")).to_have_count(2)
    assert [(each["name"], each["type"]) for each in value(page, "images")] == [
        ("a.png", "image/png"),
        ("b.bmp", "image/bmp"),
    ]
    page.get_by_role("button", name="Remove a.png").click()
    assert value(page, "images")["name"] == "b.bmp"

    assert not give(page, "h1", "paste", ("words.txt", "text/plain", b"words"))
    assert give(page, "h1", "paste", ("pasted.png", "image/png", IMAGE))
    expect(page.get_by_text("pasted.png")).to_be_visible()
    page.get_by_label("Choose an image").set_input_files(
        {"name": "c.jpg", "mimeType": "image/jpeg", "buffer": noise(8, 8, "JPEG")}
    )
    expect(page.get_by_text("c.jpg")).to_be_visible()
    assert value(page, "images")["type"] == "image/jpeg"

    give(page, "h1", "drop", ("page.pdf", "application/pdf", b"%PDF-1.7"))
    expect(page.get_by_role("status")).to_contain_text("page.pdf is nothing that the server or this browser can read")
    assert value(page, "images")["name"] == "c.jpg"
    give(
        page,
        "h1",
        "drop",
        ("big.png", "image/png", noise(700, 500, "PNG")),
        ("new.avif", "image/avif", noise(64, 64, "AVIF")),
    )
    expect(page.get_by_role("status")).to_contain_text("new.avif is sent as JPEG, 64 × 64 pixels")
    big, new = value(page, "images")
    assert (big["name"], new["name"]) == ("big.jpg", "new.jpg")
    assert all(media_type(base64.b64decode(each["data"])) == "image/jpeg" for each in (big, new))
    assert len(base64.b64decode(big["data"])) <= BYTES


def test_the_page_takes_what_the_server_takes(page: Page) -> None:
    open_modules(page)
    types = page.evaluate("import('/playground/media/blobs.js').then(({ TYPES }) => TYPES)")
    assert {kind: set(each) for kind, each in types.items()} == {
        "image": set(IMAGES.values()),
        "audio": set(RECORDINGS.values()),
    }
    beginnings = [noise(2, 2, kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")]
    beginnings += [RECORDING, b"fLaC", b"OggS", b"ID3", b"\xff\xfb\x90", b"\xff\xf1", b"RIFF1234AVI ", b"text", b""]
    found = page.evaluate(
        "starts => import('/playground/media/blobs.js').then(({ mediaType }) => starts.map(mediaType))",
        [each[:16].decode("latin-1") for each in beginnings],
    )
    assert found == [media_type(each) for each in beginnings]


def test_forms_with_media(new_page: NewPage) -> None:
    page = new_page(reduced_motion="reduce")
    open_modules(page)
    show_input(page, "question", description("media_question", "image"))
    show_input(page, "document", description("document", "image"))
    show_input(page, "chat", description("image_chat", "image"))
    page.evaluate("image => forms.question.fill({ image, question: 'What is it?' })", EXAMPLE_IMAGE)
    image = {"name": "example.png", "type": "image/png", "data": EXAMPLE_IMAGE}
    assert value(page, "question") == {"image": image, "question": "What is it?"}
    page.get_by_role("region", name="question").get_by_label("Question").fill(" ")
    assert value(page, "question") == "Write a question."

    document = page.get_by_role("region", name="document")
    words = [["Total", [80, 400, 230, 450]], ["12.50", [260, 400, 420, 450]]]
    page.evaluate("words => forms.document.fill({ question: 'How much?', word_boxes: words })", words)
    assert value(page, "document") == {"question": "How much?", "word_boxes": words}
    expect(document.get_by_role("img", name="A page with the words: Total 12.50")).to_be_visible()
    box = document.get_by_label("Words of the page")
    box.fill("[")
    assert value(page, "document").startswith("The words are no JSON")
    box.fill('[["Total", [1, 2, 3]]]')
    assert value(page, "document").startswith("Words are a list such as")
    rows = ["level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext"]
    rows += ["1\t1\t0\t0\t0\t0\t0\t0\t500\t1000\t-1\t", "5\t1\t1\t1\t1\t1\t50\t100\t100\t20\t96.1\tTotal"]
    box.fill("\n".join(rows))
    assert value(page, "document")["word_boxes"] == [["Total", [100, 100, 300, 120]]]

    chat = page.get_by_role("region", name="chat")
    assert value(page, "chat") == "Write a text, or choose an image."
    chat.get_by_label("Text").fill("What is this?")
    give(page, "section[aria-label=chat] textarea", "paste", ("a.png", "image/png", IMAGE))
    expect(chat.get_by_text("a.png")).to_be_visible()
    expect(page.get_by_text("a.png")).to_have_count(1)
    chat.get_by_role("button", name="Add a message").click()
    expect(chat.get_by_label("Role").nth(1)).to_have_value("assistant")
    page.keyboard.type("A gradient.")
    asked = {
        "role": "user",
        "content": [{"type": "image", "image": image | {"name": "a.png"}}, {"type": "text", "text": "What is this?"}],
    }
    assert value(page, "chat") == [asked, {"role": "assistant", "content": [{"type": "text", "text": "A gradient."}]}]

    assert_accessible(page)
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="dark")
    assert_accessible(page)


def test_camera_and_microphone(new_page: NewPage) -> None:
    page = new_page(permissions=["camera", "microphone"])
    open_modules(page)
    show_input(page, "images", description("media", "image"))
    show_input(page, "recordings", description("media", "audio"))
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_role("button", name="Take the picture").click()
    expect(page.get_by_text("picture.jpg")).to_be_visible()
    assert media_type(base64.b64decode(value(page, "images")["data"])) == "image/jpeg"

    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.get_by_role("timer")).not_to_have_text("0:00.0")
    page.get_by_role("button", name="Stop and use it").click()
    expect(page.get_by_text("recording.wav")).to_be_visible()
    recorded = value(page, "recordings")
    with wave.open(io.BytesIO(base64.b64decode(recorded["data"]))) as recording:
        assert (recording.getframerate(), recording.getnchannels(), recording.getsampwidth()) == (16_000, 1, 2)
        assert recording.getnframes() > 0

    page.get_by_role("button", name="Record", exact=True).click()
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_role("button", name="Record", exact=True)).to_be_focused()
    assert value(page, "recordings") == recorded
    page.get_by_role("button", name="Use the camera").click()
    expect(page.get_by_role("button", name="Take the picture")).to_be_enabled()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_microphone_that_is_not_allowed(new_page: NewPage) -> None:
    page = new_page()
    open_modules(page)
    show_input(page, "recordings", description("media", "audio"))
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.get_by_role("status")).to_have_text(
        "The browser does not allow it; change that in the settings of this site."
    )
