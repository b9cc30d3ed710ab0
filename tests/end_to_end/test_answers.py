"""Answers are those of ``transformers.pipeline``, whatever else is in the model at the same time, and each client
gets its own."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests import processes
from tests.conftest import CLIENT_S, Reference, client
from tests.processes import Web
from tests.soak.ledger import belongs

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

CLIENTS = 64


def open_client(server: Web) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=CLIENTS)
    return httpx.AsyncClient(base_url=server.url, trust_env=False, verify=False, timeout=CLIENT_S, limits=limits)  # noqa: S501


@pytest.fixture(scope="module")
def mixed_texts(make_texts: Callable[..., list[str]]) -> list[str]:
    """40 texts of 3 to 150 words, each fifth with two masks."""
    one, two = make_texts(32, 3, 150), make_texts(8, 3, 150, masks=2)
    return [text for n in range(8) for text in (*one[4 * n : 4 * n + 4], two[n])]


async def answer_of(http: httpx.AsyncClient, inputs: Any, **parameters: Any) -> Any:
    reply = await http.post("/", json={"inputs": inputs, "parameters": parameters})
    assert reply.status_code == 200, reply.text
    return reply.json()


async def test_mixed_lengths_at_once(server: Web, reference: Reference, mixed_texts: list[str]) -> None:
    async with open_client(server) as http:
        answers = await asyncio.gather(*(answer_of(http, text) for text in mixed_texts))

    reference.check_all(answers, mixed_texts)


async def test_mixed_lengths_as_one_list(server: Web, reference: Reference, mixed_texts: list[str]) -> None:
    async with open_client(server) as http:
        answers = await answer_of(http, mixed_texts)

    assert len(answers) == len(mixed_texts)
    reference.check_all(answers, mixed_texts)


async def test_mixed_parameters_at_once(
    server: Web, reference: Reference, make_texts: Callable[..., list[str]]
) -> None:
    kinds: list[dict[str, Any]] = [{}, {"top_k": 1}, {"top_k": 9}, {"targets": ["bread", "salt", "stone"]}]
    texts = make_texts(32)
    async with open_client(server) as http:
        asked = [(text, kinds[number % len(kinds)]) for number, text in enumerate(texts)]
        answers = await asyncio.gather(*(answer_of(http, text, **parameters) for text, parameters in asked))

    for (text, parameters), answer in zip(asked, answers, strict=True):
        reference.check(answer, text, **parameters)


def all_wait(server: Web) -> bool:
    with client(server) as http:
        return processes.figure(http.get("/metrics").text, "pending_inputs") == CLIENTS


@pytest.mark.timeout(900)
async def test_every_client_gets_its_own_answers(
    server: Web, reference: Reference, make_texts: Callable[..., list[str]]
) -> None:
    """64 clients, 3 inputs each that exist only once: an answer names its input in ``sequence``, so none is swapped."""
    texts = make_texts(3 * CLIENTS, 3, 10)
    answers: dict[str, Any] = {}
    batch_sizes = []

    async def be_client(http: httpx.AsyncClient, own: list[str]) -> None:
        for text in own:
            reply = await http.post("/", content=text)
            assert reply.status_code == 200, reply.text
            answers[text] = reply.json()
            batch_sizes.append(int(reply.headers["x-batch-size"]))

    async with open_client(server) as http, asyncio.TaskGroup() as clients:
        with server.hold():
            for number in range(CLIENTS):
                clients.create_task(be_client(http, texts[number::CLIENTS]))
            await asyncio.to_thread(processes.wait_until, lambda: all_wait(server), "all clients wait together")

    assert len(answers) == len(texts)
    assert max(batch_sizes) > 8, "clients that wait together are served together"
    for text, answer in answers.items():
        assert belongs(answer, text)
    reference.check_all([answers[text] for text in texts], texts)
