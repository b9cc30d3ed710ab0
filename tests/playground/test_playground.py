"""The playground's form, its states, and the same call from elsewhere, in a browser."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect
from pytest_django.plugin import DjangoDbBlocker

from inference.tasks import TASKS
from tests import fakes, processes
from tests.browsing import PHONE, NewPage, assert_accessible, tolerate
from tests.conftest import client
from tests.keyring import Keyring
from tests.processes import FAKE, Web

pytestmark = pytest.mark.timeout(300)

TABLE = '[{0}]\ntask = "{0}"\nmodel = "{1}"\n'
TORN = "torn"
ALIAS = "acme/words"
WORDS = "fill-mask"
ASK = """body => {
  fetch("../pipelines/fill-mask", {method: "POST", body, headers: {"content-type": "application/json"}})
}"""
PASTE = """(element, text) => {
  const clipboardData = new DataTransfer();
  clipboardData.setData("text", text);
  element.dispatchEvent(new ClipboardEvent("paste", {clipboardData, bubbles: true, cancelable: true}));
}"""
FOUR = json.dumps({"inputs": ["[MASK]"] * 4})
"""As many inputs as may wait."""
REFUSED, LOST = "ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE"


@pytest.fixture(scope="module")
def server() -> Iterator[Web]:
    """With a pipeline for each task, named like it, and one that cannot be loaded."""
    path = processes.scratch() / "playground.toml"
    tables = [TABLE.format(name, "fake") for name in TASKS]
    tables[list(TASKS).index(WORDS)] += f'aliases = ["{ALIAS}"]\n'
    path.write_text("\n".join([*tables, f'[{TORN}]\ntask = "{WORDS}"\nmodel = "{fakes.BROKEN}"\n']))
    hold = processes.new_hold()
    limits = {"INFERENCE_MAX_INPUTS": "4", "INFERENCE_MAX_PENDING": "4"}
    with processes.web(env={**FAKE, **hold.env, **limits, "INFERENCE_PIPELINES": str(path)}) as web:
        web.wait_until_loaded()
        yield web


class Playground:
    """The page of a pipeline."""

    def __init__(self, page: Page, server: Web, pipeline: str = "", fragment: str = "") -> None:
        self.page = page
        page.goto(f"{server.url}/playground{pipeline and '/'}{pipeline}{fragment}")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def run(self) -> None:
        self.button("Run").click()

    @property
    def text(self) -> Locator:
        return self.page.get_by_label("Text", exact=True)

    @property
    def answer(self) -> Locator:
        """As people read it; the JSON is another panel."""
        return self.page.get_by_role("tabpanel", name="Answer", exact=True)

    @property
    def figures(self) -> Locator:
        """They come with an answer."""
        return self.page.locator(".pg-figures")

    def parameter(self, name: str) -> Locator:
        return self.page.get_by_label(name, exact=True)

    def frame(self) -> Any:
        """The last answer, as it was received."""
        expect(self.figures).to_be_visible()
        return json.loads(self.page.locator(".pg-raw").text_content() or "")

    def snippet(self, language: str) -> str:
        tab = self.page.get_by_role("tab", name=language)
        tab.click()
        return self.page.locator(f"#{tab.get_attribute('aria-controls')} pre").inner_text()


def test_the_first_visit_needs_one_click(page: Page, server: Web) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.resource_type))
    playground = Playground(page, server, WORDS)
    expect(playground.text).to_have_value("Paris is the [MASK] of France.")
    playground.run()
    expect(playground.answer).to_contain_text("word0")
    for name in ("Queue", "Inference", "Total", "Round trip", "Batch size"):
        expect(playground.figures.get_by_text(name, exact=True)).to_be_visible()
    frame = playground.frame()
    expect(page.get_by_role("status").filter(has_text="Paris is the word0 of France.")).to_have_count(1)
    assert not page.locator("[aria-live]").all(), "nobody wants to hear all of an answer"
    expect(page.get_by_text(frame["request_id"], exact=True)).to_be_visible()
    assert [each["token_str"] for each in frame["output"]] == ["word0", "word1", "word2"]
    assert server.row(frame["request_id"])["transport"] == "websocket"
    assert asked.count("document") == 1
    assert_accessible(page)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.set_viewport_size(PHONE)
    assert_accessible(page)


def test_the_answer_is_that_of_the_model(page: Page, embedded: Web) -> None:
    playground = Playground(page, embedded)
    playground.button("A saying").click()
    playground.run()
    expect(playground.answer).to_contain_text("An apple a day keeps the")
    page.get_by_role("tab", name="JSON").click()
    with client(embedded) as http:
        body = {"inputs": "An apple a day keeps the [MASK] away."}
        expected = http.post("/", json=body).json()
    assert [each["token_str"] for each in playground.frame()["output"]] == [each["token_str"] for each in expected]
    page.get_by_role("tab", name="Answer").click()
    expect(playground.answer).to_contain_text(expected[0]["token_str"])


def test_the_page_is_light(page: Page, server: Web) -> None:
    sizes: dict[str, int] = {}
    page.on("response", lambda response: sizes.update({response.url: len(response.body())}))
    playground = Playground(page, server, WORDS)
    playground.run()
    expect(playground.figures).to_be_visible()
    assert sum(sizes.values()) < 150_000, sizes


def test_it_works_with_the_keyboard_alone(page: Page, server: Web) -> None:
    playground = Playground(page, server, WORDS)
    expect(playground.text).to_be_visible()
    keys = page.keyboard

    def tab_to(control: Locator) -> None:
        for _ in range(40):
            keys.press("Tab")
            if control.evaluate("element => element === document.activeElement"):
                return
        pytest.fail(f"{control} cannot be reached")

    tab_to(playground.text)
    keys.press("Control+A")
    keys.type("A word is ")
    tab_to(playground.button("Insert [MASK]"))
    keys.press("Enter")
    expect(playground.text).to_have_value("A word is [MASK]")
    tab_to(playground.parameter("top_k"))
    keys.type("2000")
    keys.press("Control+Enter")
    expect(page.get_by_role("alert")).to_have_text("top_k must be a whole number from 1 to 1000.")
    keys.press("Control+A")
    keys.type("2")
    tab_to(page.get_by_label("top_k, slider"))
    keys.press("Home")
    expect(playground.parameter("top_k")).to_have_value("1")
    tab_to(playground.parameter("targets"))
    keys.type("one")
    keys.press("Enter")
    keys.type("two")
    keys.press("Control+Enter")
    assert len(playground.frame()["output"]) == 1
    assert '"targets": ["one", "two"]' in playground.snippet("curl")
    with server.hold():
        keys.press("Control+Enter")
        expect(page.get_by_role("status").filter(has_text="In the model")).to_be_visible()
        keys.press("Escape")
        expect(playground.answer.get_by_role("heading", name="Stopped")).to_be_visible()


def test_a_link_fills_in_the_same_request(page: Page, new_page: NewPage, server: Web) -> None:
    playground = Playground(page, server, WORDS)
    playground.text.fill("Ünïcode & [MASK] #1")
    playground.parameter("top_k").fill("4")
    page.get_by_role("radio", name="true").check()
    playground.run()
    first = playground.frame()["output"]
    again = Playground(new_page(), server, ALIAS, fragment="#" + page.url.partition("#")[2])
    expect(again.text).to_have_value("Ünïcode & [MASK] #1")
    expect(again.page.get_by_role("radio", name="true")).to_be_checked()
    again.run()
    assert again.frame()["output"] == first
    assert len(first) == 4


def test_the_same_call_from_elsewhere_gives_the_same_answer(page: Page, server: Web, tmp_path: Path) -> None:
    playground = Playground(page, server, WORDS)
    playground.text.fill('It\'s "a" $word `or` \\ [MASK]')
    playground.run()
    output = playground.frame()["output"]
    curl = ["bash", "-c", playground.snippet("curl").replace("curl", "curl -s --noproxy '*'", 1)]
    python = [
        sys.executable,
        "-c",
        playground.snippet("Python").replace("print(json.load", "print(json.dumps(json.load", 1) + ")",
    ]
    for command in (curl, python):
        ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, timeout=60)
        assert json.loads(ran.stdout) == output
    with page.expect_console_message() as logged:
        page.evaluate(f"async () => {{ {playground.snippet('JavaScript')} }}")
    assert logged.value.args[0].json_value() == output
    frames: list[Any] = []
    with page.expect_console_message(lambda message: "result" in frames_of(message, frames)):
        page.evaluate(f"() => {{ {playground.snippet('WebSocket')} }}")
    assert frames[-1]["output"] == output


def frames_of(message: Any, frames: list[Any]) -> str:
    frames.append(message.args[0].json_value())
    return str(frames[-1]["type"])


def test_the_same_call_with_a_file(page: Page, server: Web, tmp_path: Path) -> None:
    playground = Playground(page, server, "visual-question-answering")
    with page.expect_response("**/pipelines/*?format=pipeline") as answered:
        playground.run()
    output = answered.value.json()
    expect(playground.figures).to_be_visible()
    assert playground.frame() == output
    (tmp_path / "example.png").write_bytes(b"\x89PNG\r\n\x1a\n and so on")
    curl = playground.snippet("curl").replace("curl", "curl -s --noproxy '*'", 1)
    python = playground.snippet("Python").replace("json.load(reply)", "json.dumps(json.load(reply))")
    for command in (["bash", "-c", curl], [sys.executable, "-c", python]):
        ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, timeout=60)
        assert json.loads(ran.stdout) == output, command


@pytest.mark.parametrize("parameters", [{}, {"language": "en"}])
def test_a_file_alone_asks_for_no_stream(page: Page, server: Web, parameters: dict[str, str]) -> None:
    page.goto(server.url)
    call = {"address": "", "path": "/", "socket": "/ws/", "inputs": "A" * 200, "kind": "audio", "stream": True}
    made = page.evaluate(
        """async (call) => {
          const { src } = document.querySelector("script[type=module]");
          return (await import(new URL("playground/snippets.js", src))).snippets(call);
        }""",
        call | {"parameters": parameters},
    )
    code = {each["name"]: each["code"] for each in made}
    assert ("json.load(reply)" in code["Python"]) == ("curl -N" not in code["curl"]) == (not parameters)
    assert '"stream": true' in code["WebSocket"]


def test_each_task_has_its_form_and_its_controls(page: Page, server: Web) -> None:
    for name, task in TASKS.items():
        Playground(page, server, name)
        controls = page.locator("[data-parameter]")
        expect(controls).to_have_count(len(task.parameters))
        assert {each.get_attribute("data-parameter") for each in controls.all()} == set(task.parameters)
        example = page.locator(".pg-call pre").first  # is there once the form has a whole request
        expect(example, name).to_contain_text("curl")


def test_cells_are_pasted_into_a_table(page: Page, server: Web) -> None:
    playground = Playground(page, server, "table-question-answering")
    first = page.get_by_label("Name of column 1")
    first.evaluate(PASTE, 'city;people\n"Oslo; north";709000\nBergen;"2""1"\n')
    playground.run()
    expect(playground.answer).to_contain_text("Oslo; north")
    table = '"table": {"city": ["Oslo; north", "Bergen"], "people": ["709000", "2\\"1"]}'
    assert table in playground.snippet("curl")


def test_a_request_that_is_not_right_is_not_sent(page: Page, server: Web) -> None:
    playground = Playground(page, server, "zero-shot-classification")
    wrong = page.get_by_role("alert")
    page.get_by_role("button", name="Remove urgent from candidate_labels").click()
    page.get_by_role("button", name="Remove not urgent from candidate_labels").click()
    playground.run()
    expect(wrong).to_contain_text("candidate_labels is needed: a list of 1 to 64 texts")
    expect(playground.parameter("candidate_labels")).to_be_focused()
    playground.parameter("candidate_labels").fill("only this")
    playground.text.fill(" ")
    playground.run()
    expect(wrong).to_have_text("Write a text first.")
    playground.text.fill("A text")
    playground.run()
    expect(playground.answer).to_contain_text("only this")
    expect(wrong).to_have_count(0)


def test_a_server_that_is_busy(page: Page, server: Web) -> None:
    playground = Playground(page, server, WORDS)
    hold = server.hold
    with hold():
        page.evaluate(ASK, FOUR)
        processes.wait_until(lambda: hold.holds(server.pid), "others have the model")
        playground.run()
        expect(playground.answer.get_by_role("heading", name="The server is busy")).to_be_visible()
        assert_accessible(page)
    server.wait_until_at_rest()
    playground.button("Try again").click()
    expect(playground.answer).to_contain_text("word0")


def test_a_pipeline_that_could_not_be_loaded(page: Page, server: Web) -> None:
    playground = Playground(page, server, TORN)
    expect(page.get_by_role("heading", name="The model could not be loaded")).to_be_visible()
    expect(page.get_by_text(fakes.REASON)).to_be_visible()
    assert_accessible(page)
    page.get_by_text("Other pipelines").click()
    page.get_by_role("link", name=WORDS, exact=True).click()
    expect(playground.text).to_be_visible()


def test_a_pipeline_that_there_is_not(page: Page, server: Web) -> None:
    tolerate(page, "404")
    assert (reply := page.goto(f"{server.url}/playground/nothing")) is not None
    assert reply.status == 404
    assert "There is no pipeline 'nothing' here" in reply.text()


def test_from_loading_to_ready_and_away_and_back(page: Page) -> None:
    tolerate(page, REFUSED, LOST)
    hold = processes.new_hold()
    with hold(), processes.web(env={**FAKE, **hold.env}, wait_for="/health/live") as server:
        playground = Playground(page, server)
        expect(page.get_by_role("heading", name="The model is not ready yet")).to_be_visible()
        expect(page.get_by_role("progressbar")).to_be_visible()
        assert_accessible(page)
        hold.end()
        playground.run()
        expect(playground.answer).to_contain_text("word0")

        server.kill()
        away = page.get_by_text("The connection to the server is lost.")
        expect(away).to_be_visible()
        playground.run()
        expect(playground.answer.get_by_role("heading", name="No connection")).to_be_visible()
        assert_accessible(page)
        server.start()
        server.wait_until_answers("/health/ready")
        expect(away).to_be_hidden()
        expect(page.get_by_role("status").filter(has_text="ready")).to_be_visible()
        playground.button("Try again").click()
        expect(playground.answer).to_contain_text("word0")


@pytest.fixture(scope="module")
def closed(django_db_blocker: DjangoDbBlocker) -> Iterator[tuple[Web, str]]:
    """A server that wants keys, and one."""
    with processes.web(env={**FAKE, "INFERENCE_ACCESS": "keys"}) as web, client(web) as http:
        key = Keyring(web.database, django_db_blocker).make()
        headers = {"authorization": f"Bearer {key}"}

        def is_known() -> bool:
            time.sleep(0.2)  # until it is known, each try counts as one with a wrong key, of which 20 are allowed
            return http.get("/info", headers=headers).status_code == 200

        processes.wait_until(is_known, "the key is known")
        yield web, key


def test_a_server_that_wants_a_key(closed: tuple[Web, str], page: Page) -> None:
    tolerate(page, "401")
    server, key = closed
    with client(server) as http:
        known, unknown = (http.get(f"/playground/{name}") for name in ("default", "nothing"))
        assert (known.status_code, known.text) == (unknown.status_code, unknown.text) == (200, known.text)
        assert "fill-mask" not in known.text

    playground = Playground(page, server, "default")
    field, use = page.get_by_label("Key", exact=True), playground.button("Use this key")
    expect(field).to_be_focused()
    assert_accessible(page)
    field.fill("inf_wrong")
    use.click()
    expect(page.get_by_role("alert")).to_have_text("This key is unknown, was revoked, or has expired.")
    field.fill(key)
    use.click()
    playground.run()
    expect(playground.answer).to_contain_text("word0")
    request = playground.frame()["request_id"]
    assert server.row(request)["key"] == key[4:12]
    assert key not in page.content()
    assert key not in page.url
    assert key not in playground.snippet("curl")
    page.reload()
    expect(field).to_be_visible()  # it was not kept
    page.get_by_label("Keep it until this tab is closed").check()
    field.fill(key)
    use.click()
    expect(playground.text).to_be_visible()
    page.reload()
    expect(playground.text).to_be_visible()
    playground.button("Forget it").click()
    page.reload()
    expect(field).to_be_visible()
