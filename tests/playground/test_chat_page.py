"""Chats and streamed texts in the playground, in a browser."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, WebSocketRoute, expect

from tests import chatting, processes
from tests.browsing import PHONE, assert_accessible
from tests.processes import Web

pytestmark = pytest.mark.timeout(300)

CATALOG = """
[chat]
task = "text-generation"
model = "chat"
[prompt]
task = "text-generation"
model = "prompt"
[short]
task = "summarization"
model = "short"
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Web]:
    path = processes.scratch() / "chatting.toml"
    path.write_text(CATALOG)
    hold = processes.new_hold()
    with processes.web(
        env={"INFERENCE_BACKEND": chatting.__name__, "INFERENCE_PIPELINES": str(path), **hold.env}
    ) as web:
        yield web


@pytest.fixture
def chat(page: Page, server: Web) -> "Chat":
    return Chat(page, server)


class Chat:
    """The page of the pipeline with a chat template."""

    def __init__(self, page: Page, server: Web) -> None:
        self.page = page
        page.emulate_media(reduced_motion="reduce")
        page.goto(f"{server.url}/playground/chat")
        self.field = page.get_by_label("Message", exact=True)
        self.field.fill("")

    def say(self, text: str) -> None:
        self.field.fill(text)
        self.field.press("Enter")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    @property
    def messages(self) -> Locator:
        return self.page.locator(".turn")

    def answer(self, number: int = -1) -> Locator:
        return self.page.locator(".turn.assistant .generated").nth(number)


def test_an_answer_streams_and_can_be_stopped(chat: Chat, server: Web) -> None:
    with server.hold(after=3):
        chat.say("count 100")
        expect(chat.answer()).to_have_text("1 2 3")
        expect(chat.button("Edit")).to_be_disabled()
        chat.button("Stop").click()
        expect(chat.page.get_by_text("It was stopped.")).to_be_visible()
    expect(chat.answer()).to_have_text("1 2 3")
    expect(chat.button("Send")).to_be_visible()
    chat.button("Continue").click()
    expect(chat.answer()).to_have_text("1 2 3 more")
    expect(chat.messages).to_have_count(2)
    expect(chat.page.get_by_text("It was stopped.")).to_have_count(0)
    with server.hold(after=1):
        chat.say("count 100")
        expect(chat.answer()).to_have_text("1")
        chat.field.press("Escape")
        expect(chat.page.get_by_text("It was stopped.")).to_be_visible()


def test_an_answer_is_generated_again_and_a_message_is_edited(chat: Chat) -> None:
    chat.say("Hello")
    expect(chat.answer()).to_contain_text("to Hello, system none, after 1 messages")
    first = chat.answer().text_content() or ""
    chat.button("Regenerate").click()
    expect(chat.answer()).not_to_have_text(first)
    expect(chat.answer()).to_contain_text("to Hello, system none, after 1 messages")
    chat.say("And more")
    expect(chat.answer()).to_contain_text("to And more, system none, after 3 messages")
    chat.button("Edit").first.click()
    edited = chat.page.get_by_label("Message, edited")
    expect(edited).to_be_focused()
    edited.press("Escape")
    expect(chat.button("Edit").first).to_be_focused()
    chat.button("Edit").first.click()
    edited.fill("Good day")
    edited.press("Enter")
    expect(chat.answer()).to_contain_text("to Good day, system none, after 1 messages")
    expect(chat.messages).to_have_count(2)


def test_the_conversation_stays_when_the_page_is_loaded_again_and_can_be_cleared(chat: Chat, server: Web) -> None:
    page = chat.page
    page.get_by_text("System prompt").first.click()
    page.get_by_label("System prompt").fill("Be brief")
    chat.say("Hello")
    expect(chat.answer()).to_contain_text("system Be brief, after 2 messages")
    with server.hold(after=2):
        chat.say("count 100")
        expect(chat.answer()).to_have_text("1 2")
        page.reload()
    expect(chat.messages).to_have_count(4)
    expect(page.get_by_label("System prompt")).to_have_value("Be brief")
    expect(chat.answer(0)).to_contain_text("system Be brief")
    expect(chat.answer()).to_have_text("1 2")
    expect(page.get_by_text("The page was left before the end.")).to_be_visible()
    chat.button("Clear the conversation").click()
    expect(chat.messages).to_have_count(0)
    page.reload()
    expect(page.get_by_text("No message yet.")).to_be_visible()


def test_errors_are_in_the_place_of_the_answer_and_asking_again_works(chat: Chat) -> None:
    page = chat.page
    chat.say("busy just now")
    alert = page.locator(".turn").get_by_role("alert")
    expect(alert).to_contain_text(chatting.BUSY)
    chat.button("Try again").click()
    expect(chat.answer()).to_contain_text("to busy just now")
    expect(alert).to_have_count(0)
    chat.say("x" * 40_000)
    expect(alert).to_contain_text("this model takes 512 tokens")
    expect(alert).to_contain_text("Edit a message, or clear the conversation.")
    expect(chat.button("Try again")).to_be_visible()
    chat.button("Edit").last.click()
    page.get_by_label("Message, edited").fill("Short")
    chat.button("Send again").click()
    expect(chat.answer()).to_contain_text("to Short")


def test_a_lost_connection_is_told_in_the_place_of_the_answer(page: Page, server: Web) -> None:
    sockets: list[WebSocketRoute] = []

    def connect(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    page.route_web_socket(re.compile("/ws/$"), connect)
    chat = Chat(page, server)
    with server.hold(after=3):
        chat.say("count 100")
        expect(chat.answer()).to_have_text("1 2 3")
        sockets[-1].close(code=1001)
        expect(page.locator(".turn").get_by_role("alert")).to_contain_text("The connection was lost")
        expect(chat.answer()).to_have_text("1 2 3")
    chat.button("Try again").click()
    expect(chat.answer()).to_contain_text("100")


def test_an_answer_at_its_limit_can_go_on(chat: Chat) -> None:
    chat.page.get_by_label("max_new_tokens").first.fill("3")
    chat.say("count 10")
    expect(chat.page.get_by_text("It ended at the limit of new tokens.")).to_be_visible()
    expect(chat.answer()).to_have_text("1 2 3")
    expect(chat.page.locator(".turn .figures")).to_contain_text("· 3 tokens written · first after")
    chat.button("Continue").click()
    expect(chat.answer()).to_have_text("1 2 3 more")


def test_tokens_are_coloured_by_probability(chat: Chat) -> None:
    page = chat.page
    page.locator(".pg-more > summary").click()
    page.get_by_label("top_n_tokens").first.fill("2")
    chat.say("count 5")
    expect(chat.button("Regenerate")).to_be_visible()
    page.get_by_label("Colour tokens by probability").check()
    levels = (
        chat.answer().locator(".token").evaluate_all("all => all.map((each) => each.className.match(/level-./)[0])")
    )
    assert levels == [f"level-{number}" for number in range(5)]
    expect(page.get_by_role("list", name="Probability of a token").get_by_role("listitem")).to_have_count(5)
    chat.answer().get_by_role("group").focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    expect(chat.answer().locator(".token-detail")).to_have_text(re.compile(r'^" 2": 67\.0 %'))
    assert_accessible(page)
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size(PHONE)
    assert_accessible(page)


def test_fenced_code_is_shown_as_code(chat: Chat) -> None:
    chat.say("code")
    expect(chat.answer().locator("pre code")).to_have_text("print(1)\n")
    expect(chat.answer().locator(".prose")).to_have_text(["Like this:", "That is all."])
    expect(chat.answer().get_by_role("button", name="Copy")).to_be_visible()


def test_the_log_scrolls_along_unless_the_reader_has_scrolled_up(chat: Chat, server: Web) -> None:
    chat.page.set_viewport_size(PHONE)
    chat.say("count 300")
    expect(chat.button("Regenerate")).to_be_in_viewport()
    log = chat.page.get_by_role("region", name="Conversation")
    with server.hold(after=300):
        chat.say("count 400")
        expect(chat.answer()).to_contain_text("300")
        expect(chat.answer()).to_be_in_viewport()
        log.evaluate("(log) => (log.scrollTop = 0)")
        expect(chat.button("To the end")).to_be_visible()
    expect(chat.button("Send")).to_be_visible()
    assert log.evaluate("(log) => log.scrollTop") == 0
    chat.button("To the end").click()
    expect(chat.button("Regenerate")).to_be_in_viewport()


def test_everything_works_with_the_keyboard_alone(chat: Chat) -> None:
    keyboard = chat.page.keyboard
    chat.field.focus()
    keyboard.type("Hello")
    keyboard.press("Shift+Enter")
    keyboard.type("there")
    keyboard.press("Enter")
    expect(chat.answer()).to_contain_text("to Hello\nthere, system none, after 1 messages")
    expect(chat.field).to_be_focused()
    expect(chat.page.locator(".chat > [role=status]")).to_contain_text("to Hello")
    chat.button("Regenerate").press("Enter")
    expect(chat.button("Send")).to_be_focused()
    assert_accessible(chat.page)


@pytest.mark.parametrize("name", ["prompt", "short"])
def test_a_text_streams_in_the_place_of_the_answer(page: Page, server: Web, name: str) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.goto(f"{server.url}/playground/{name}")
    field = page.locator("textarea").first
    field.fill("count 100")
    with server.hold(after=3):
        field.press("Control+Enter")
        expect(page.locator(".streamed .generated")).to_contain_text("1 2 3")
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_text("It was stopped.")).to_be_visible()
    expect(page.locator(".streamed .prompt")).to_have_text(["count 100"] if name == "prompt" else [])
    page.get_by_label("Colour tokens by probability").check()
    expect(page.locator(".streamed .token")).to_have_count(3)
    assert_accessible(page)
