"""Images through a real server with several pipelines, in all forms in which clients send them."""

import base64
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect
from websockets.sync.client import connect

from tests import processes
from tests.backends.transformers.pictures import BROKEN, decoded, picture, shown
from tests.backends.transformers.running import assert_equal, direct, plain
from tests.browsing import assert_accessible
from tests.conftest import CLIENT_S, client
from tests.pages.modules import give
from tests.processes import Web

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

MOST_MEDIA, MOST_BODY = 40_000, 60_000
"""Bytes of an image, and of a body."""
IMAGE = picture(3)
ENCODED = base64.b64encode(IMAGE).decode()
FORMATS = "PNG, JPEG, WebP, GIF or BMP"
OTHER = f"The input must be an image ({FORMATS}); the bytes that were sent are"
FORM = "application/x-www-form-urlencoded"
"""What curl says of a body if it is not told otherwise."""


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


TASKS = {
    "labels": "image-classification",
    "masks": "image-segmentation",
    "questions": "visual-question-answering",
    "pages": "document-question-answering",
    "topics": "text-classification",
}
"""By pipeline."""


@pytest.fixture(scope="module")
def folders() -> dict[str, Path]:
    """By pipeline."""
    from tests.every_model import MODELS  # noqa: PLC0415 - imports torch

    place = processes.scratch() / "vision"
    return {name: MODELS[task](place / name) for name, task in TASKS.items()}


@pytest.fixture(scope="module")
def server(folders: dict[str, Path]) -> Iterator[Web]:
    catalog = processes.scratch() / "vision.toml"
    tables = [f'[{name}]\ntask = "{TASKS[name]}"\nmodel = "{folder}"\n' for name, folder in folders.items()]
    catalog.write_text("\n".join(tables))
    env = {
        "INFERENCE_PIPELINES": str(catalog),
        "INFERENCE_MAX_MEDIA_BYTES": str(MOST_MEDIA),
        "INFERENCE_MAX_BODY_BYTES": "2000",
        "INFERENCE_LOG_INPUTS": "full",
    }
    with processes.web(env=env, wait_for="/health/live") as web:
        web.wait_until_loaded()
        yield web
        assert "Traceback" not in web.log()


@pytest.fixture
def http(server: Web) -> Iterator[httpx.Client]:
    with client(server) as opened:
        yield opened


def send(
    http: httpx.Client, content: bytes, content_type: str | None = None, pipeline: str = "labels"
) -> httpx.Response:
    headers = {} if content_type is None else {"content-type": content_type}
    return http.post(f"/pipelines/{pipeline}", content=content, headers=headers)


def ask(http: httpx.Client, pipeline: str, inputs: Any, **parameters: Any) -> Any:
    reply = http.post(f"/pipelines/{pipeline}", json={"inputs": inputs, "parameters": parameters})
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.fixture(scope="module")
def labels(folders: dict[str, Path]) -> Any:
    return plain(direct(folders["labels"], "image-classification")(shown(IMAGE)))


@pytest.mark.parametrize("content_type", ["image/png", "image/*", "application/octet-stream", FORM, "", None])
def test_an_image_is_the_body_whatever_its_type_is_said_to_be(
    http: httpx.Client, labels: Any, content_type: str | None
) -> None:
    reply = send(http, IMAGE, content_type)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
    assert_equal(reply.json(), labels)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF", "BMP"])
def test_all_formats_are_taken(http: httpx.Client, kind: str) -> None:
    assert send(http, picture(1, kind=kind), f"image/{kind.lower()}").status_code == 200


def test_an_image_is_base64_in_json(http: httpx.Client, labels: Any) -> None:
    text = in_base64(IMAGE)
    broken_lines = "\n".join(text[start : start + 76] for start in range(0, len(text), 76))
    for form in (text, f"data:image/png;base64,{text}", broken_lines):
        assert_equal(ask(http, "labels", form), labels)
    best = ask(http, "labels", text, top_k=1)
    assert_equal(best, labels[:1])
    assert_equal(ask(http, "labels", [text, in_base64(picture(4)), text], top_k=1)[::2], [best, best])


def test_an_image_is_base64_in_a_frame(server: Web, labels: Any) -> None:
    with connect(f"ws://127.0.0.1:{server.port}/pipelines/labels/ws/", proxy=None) as socket:
        for number, inputs in enumerate((in_base64(IMAGE), [in_base64(IMAGE)] * 2, "no image")):
            socket.send(json.dumps({"type": "infer", "id": str(number), "inputs": inputs}))
        outcome: dict[str, Any] = {}
        while len(outcome) < 3:
            frame = json.loads(socket.recv(CLIENT_S))
            if frame["type"] in ("result", "error"):
                outcome[frame["id"]] = frame
    assert_equal(outcome["0"]["output"], labels)
    assert_equal(outcome["1"]["output"], [labels, labels])
    assert outcome["2"]["message"].startswith("The input is a text that is not base64")


def gigapixel() -> bytes:
    return IMAGE[:16] + (32_768).to_bytes(4) * 2 + (8).to_bytes() + IMAGE[25:]


@pytest.mark.parametrize(
    ("content", "status", "error"),
    [
        (b"", 400, 'The body is empty; send a text, or JSON such as {"inputs": "a text"}.'),
        (b"a text", 422, f"The input is a text that is not base64; send an image ({FORMATS}) in base64."),
        (b'{"inputs": 1}', 422, f"The input is a number; it must be an image ({FORMATS}), in JSON as base64."),
        (b'{"inputs": ""}', 400, "The input is empty; send an image."),
        (b'{"inputs": "YSB0ZXh0"}', 422, f"{OTHER} none of a known format."),
        (b"fLaC\xff\xff", 422, f"{OTHER} audio/flac."),
        (BROKEN, 422, None),
        (IMAGE[:-40], 422, None),
        (gigapixel(), 422, None),
    ],
    ids=["nothing", "text", "number", "empty", "base64 of text", "recording", "broken", "cut off", "gigapixel"],
)
def test_what_is_wrong_is_said(http: httpx.Client, content: bytes, status: int, error: str | None) -> None:
    reply = send(http, content)
    assert reply.status_code == status
    assert reply.json()["error"] == error or (error is None and reply.json()["error"].startswith("The image "))
    assert send(http, IMAGE).status_code == 200


def test_one_bad_image_of_several_is_named_and_harms_no_other_request(http: httpx.Client) -> None:
    several = http.post("/pipelines/labels", json={"inputs": [in_base64(IMAGE), "no image"]})
    assert (several.status_code, several.json()["error"][:27]) == (422, "inputs[1] is a text that is")


@pytest.mark.parametrize(
    ("content_type", "status", "error"),
    [
        ("image/png", 422, "The input is image/png; it must be a text."),
        (FORM, 400, "The body is not UTF-8: byte 0 is 0x89."),
        ("text/plain", 400, "The body is not UTF-8: byte 0 is 0x89."),
    ],
)
def test_an_image_for_a_pipeline_of_texts(http: httpx.Client, content_type: str, status: int, error: str) -> None:
    reply = send(http, IMAGE[:900], content_type, "topics")
    assert (reply.status_code, reply.json()["error"]) == (status, error)


def test_images_and_bodies_have_limits_of_their_own(http: httpx.Client) -> None:
    padded = IMAGE + os.urandom(MOST_MEDIA - len(IMAGE))
    assert send(http, padded).status_code == 200
    assert ask(http, "labels", in_base64(padded)) == send(http, padded).json()

    too_large = send(http, padded + b"x")
    assert too_large.status_code == 413
    assert too_large.json()["error"] == f"An image or recording has {MOST_MEDIA + 1} bytes; {MOST_MEDIA} are allowed."
    encoded = http.post("/pipelines/labels", json={"inputs": in_base64(padded + b"x")})
    assert (encoded.status_code, encoded.json()["error"]) == (413, too_large.json()["error"])

    body = send(http, bytes(MOST_BODY + 1))
    assert (body.status_code, body.json()["error"]) == (
        413,
        f"The body has {MOST_BODY + 1} bytes; {MOST_BODY} are allowed.",
    )
    assert (
        send(http, bytes(2001), "text/plain", "topics").json()["error"] == "The body has 2001 bytes; 2000 are allowed."
    )


def test_the_log_has_type_and_size_and_never_the_bytes(server: Web, http: httpx.Client) -> None:
    sent = [send(http, IMAGE, "image/png"), send(http, IMAGE), send(http, BROKEN, "image/jpeg")]
    rows = [server.row(reply.headers["x-request-id"]) for reply in sent]
    assert [row["preview"] for row in rows] == [
        f'["(image/png, {len(data)} bytes)"]' for data in (IMAGE, IMAGE, BROKEN)
    ]
    assert [row["status"] for row in rows] == ["ok", "ok", "refused"]

    text = in_base64(IMAGE)
    encoded = http.post("/pipelines/labels", json={"inputs": [text, text]})
    preview = server.row(encoded.headers["x-request-id"])["preview"]
    assert preview == f'["(base64, {len(text)} bytes)", "(base64, {len(text)} bytes)"]'
    refused = server.row(send(http, IMAGE[:900], "image/png", "topics").headers["x-request-id"])
    assert refused["preview"] == '["(image/png, 900 bytes)"]'
    assert text[:20] not in server.log()


# Tasks


def test_masks_are_images_in_base64(http: httpx.Client) -> None:
    """What is on them is compared with the stock pipeline elsewhere."""
    masks = ask(http, "masks", ENCODED)
    assert masks[0].keys() == {"label", "mask"}
    assert decoded(masks[0]["mask"]).size == shown(IMAGE).size
    assert send(http, IMAGE, "image/png", "masks").json() == masks


def test_an_image_comes_with_a_question(http: httpx.Client) -> None:
    asked = {"question": "what is it?", "image": ENCODED}
    assert ask(http, "questions", asked, top_k=1)[0].keys() == {"answer", "score"}
    words = [["a", [0, 0, 9, 9]], ["boat", [10, 0, 20, 9]]]
    beside, inside = ask(http, "pages", asked, word_boxes=words), ask(http, "pages", asked | {"word_boxes": words})
    assert_equal(beside, inside)
    assert beside[0].keys() == {"answer", "score", "start", "end"}


@pytest.mark.parametrize(
    ("pipeline", "inputs", "parameters", "error"),
    [
        ("questions", ENCODED, {}, "The input is a text; it must be an object such as"),
        ("questions", {"question": "a?", "image": "a text"}, {}, "The image of the input is a text that is not base64"),
        ("pages", {"question": "a?", "image": ENCODED}, {}, "The input has no word_boxes, and there is no OCR here"),
        ("masks", ENCODED, {"subtask": "panoptic"}, "Parameter subtask is 'panoptic'; masks can do semantic."),
        ("masks", ENCODED, {"threshold": 2}, "Parameter threshold is 2; it must be a number from 0 to 1."),
        ("masks", ENCODED, {"top_k": 2}, "There is no parameter 'top_k' for image-segmentation; known are"),
    ],
)
def test_what_a_task_does_not_take_is_said(
    http: httpx.Client, pipeline: str, inputs: Any, parameters: dict[str, Any], error: str
) -> None:
    reply = http.post(f"/pipelines/{pipeline}", json={"inputs": inputs, "parameters": parameters})
    assert reply.status_code == 422
    assert reply.json()["error"].startswith(error)


def test_the_log_has_no_image_of_a_question_either(server: Web, http: httpx.Client) -> None:
    for name in ("questions", "pages"):
        reply = http.post(f"/pipelines/{name}", json={"inputs": {"question": "what?", "image": ENCODED}})
        preview = server.row(reply.headers["x-request-id"])["preview"]
        assert f"(base64, {len(ENCODED)} bytes)" in preview
        assert ENCODED[:20] not in preview


def test_images_are_dropped_into_the_playground(page: Page, server: Web) -> None:
    page.goto(f"{server.url}/playground/masks")
    chosen = page.get_by_role("list", name="Chosen images").get_by_role("listitem")
    expect(chosen).to_contain_text("example.png")
    assert give(page, "h1", "drop", ("street.png", "image/png", IMAGE))
    expect(chosen).to_contain_text(["street.png"])
    page.get_by_role("button", name="Run").click()
    masks = page.get_by_role("list", name="What is where")
    expect(masks.get_by_role("listitem").first).to_contain_text(re.compile(r"label \d+.*% of the image"))
    width, _ = shown(IMAGE).size
    expect(page.get_by_role("img", name="The image that was sent")).to_have_js_property("naturalWidth", width)
    assert_accessible(page)

    give(page, "h1", "drop", *((f"{number}.png", "image/png", IMAGE) for number in range(2)))
    expect(chosen).to_have_count(2)
    page.keyboard.press("Control+Enter")
    expect(masks).to_have_count(2)


def test_a_question_about_an_image_in_the_playground(page: Page, server: Web) -> None:
    page.goto(f"{server.url}/playground/questions")
    page.get_by_label("Question").fill("")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("alert")).to_have_text("Write a question.")
    page.keyboard.type("What colour is it?")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("list", name="Answers and scores").get_by_role("listitem")).not_to_have_count(0)
