"""Summaries from a real encoder-decoder model: whole, streamed, of many clients at once, and wrong requests."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests import processes
from tests.conftest import client
from tests.end_to_end.test_streaming import events, texts
from tests.end_to_end.test_websocket import open_socket
from tests.processes import Web
from tests.seq2seq_models import bart, sentences

pytestmark = pytest.mark.timeout(600)  # the first test waits for the server's start

TEXT = "once upon a time there was a small boat"
ONE_BEAM: dict[str, Any] = {"num_beams": 1, "do_sample": False}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder: Path = bart(tmp_path_factory.mktemp("models") / "bart")
    env = {"INFERENCE_MODEL": str(folder), "INFERENCE_TASK": "summarization", "INFERENCE_THREADS": "1"}
    with processes.web(None, env | processes.new_hold().env) as started:
        started.wait_until_answers("/health/ready")
        yield started
        assert "Traceback" not in started.log()


@pytest.fixture
def http(server: Web) -> Iterator[httpx.Client]:
    with client(server) as opened:
        yield opened


def ask(http: httpx.Client, text: str = TEXT, **parameters: Any) -> Any:
    reply = http.post("/", json={"inputs": text, "parameters": parameters})
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_tokens_of_one_beam_come_as_they_are_made(http: httpx.Client) -> None:
    asked = {"inputs": TEXT, "parameters": ONE_BEAM, "stream": True}
    with http.stream("POST", "/", json=asked) as reply:
        told = list(events(reply))
    assert len(told) > 3
    assert [event["index"] for event in told] == list(range(1, len(told) + 1))
    [answer] = ask(http, **ONE_BEAM)
    assert answer == {"summary_text": texts(told)}
    assert told[-1]["generated_text"] == texts(told)
    assert told[-1]["details"]["finish_reason"] == "eos_token"


def test_the_playground_streams_what_is_not_searched_with_beams(page: Page, server: Web) -> None:
    page.goto(f"{server.url}/playground")
    page.get_by_label("Text", exact=True).fill(TEXT)
    run, answer = page.get_by_role("button", name="Run", exact=True), page.get_by_role("tabpanel", name="Answer")
    run.click()
    expect(page.locator(".pg-figures")).to_be_visible()
    expect(answer.locator(".summary")).not_to_be_empty()
    expect(page.locator(".pg-call")).not_to_contain_text('"stream"')
    page.locator(".pg-settings summary").last.click()
    page.get_by_label("num_beams", exact=True).fill("1")
    expect(page.locator(".pg-call")).to_contain_text('"stream": true')
    run.click()
    expect(answer.locator(".streamed")).to_have_attribute("aria-busy", "false")
    page.goto(server.url)
    expect(page.locator("#call")).not_to_contain_text('"stream"')


def test_many_clients_get_what_each_gets_alone(http: httpx.Client) -> None:
    asked = [(text, {"num_beams": n % 3 + 1, "max_new_tokens": 8 + n}) for n, text in enumerate(sentences(12))]
    alone = [ask(http, text, **parameters) for text, parameters in asked]
    with ThreadPoolExecutor(len(asked)) as pool:
        assert [*pool.map(lambda each: ask(http, each[0], **each[1]), asked)] == alone
    listed = http.post("/", json={"inputs": [text for text, _ in asked[:3]], "parameters": {"max_new_tokens": 9}})
    assert [entry.keys() for entry in listed.json()] == [{"summary_text"}] * 3


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"inputs": TEXT, "stream": True}, "would be searched with 4 beams"),
        ({"inputs": TEXT, "parameters": {"tgt_lang": "fr"}}, "There is no parameter 'tgt_lang' for summarization"),
        ({"inputs": "a " * 3000}, "this model takes 64 tokens"),
        ({"inputs": "a b " * 100}, "this model takes at most 64"),
        ({"inputs": TEXT, "parameters": {"max_new_tokens": 100}}, "there is room for 63"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_sentence(http: httpx.Client, body: Any, message: str) -> None:
    reply = http.post("/", json=body)
    assert reply.status_code == 422
    assert message in json.dumps(reply.json())


def test_a_text_that_is_too_long_is_cut_if_that_is_asked_for(http: httpx.Client) -> None:
    [answer] = ask(http, "a " * 3000, truncation="only_first")
    assert answer == ask(http, "a " * 4000, truncate=True)[0]


async def test_a_stream_that_is_cancelled_ends_in_what_it_was_so_far(server: Web) -> None:
    long = ONE_BEAM | {"max_new_tokens": 60, "min_length": 60}
    async with open_socket(server) as socket:
        with server.hold(after=5):
            await socket.infer("a", inputs=TEXT, parameters=long, stream=True)
            tokens = (await socket.until("token"))[-1:]
            await socket.send(type="cancel", id="a")
            *more, result = await socket.until("result", "error")
    assert result["finish_reason"] == "cancelled"
    assert result["output"] == [{"summary_text": "".join(frame["text"] for frame in [*tokens, *more])}]
