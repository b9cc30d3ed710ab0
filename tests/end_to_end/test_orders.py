"""Operators load, unload, reload and drain while clients ask: in one process, and at two hosts behind Redis."""

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests import processes
from tests.conftest import client
from tests.fakes import DELAY_S
from tests.processes import FAKE, ROOT, Web, wait_until

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

ENV = FAKE | {DELAY_S: "0.01"}
PAUSE_S = 0.05
"""Of a client between an answer and its next request."""
BODY = {"inputs": "test [MASK]"}
OPERATOR = """
import sys, django
django.setup()
from inference.control import orders
for line in sys.stdin:
    order, name = line.split()
    getattr(orders, order)(name)
    print("ordered", flush=True)
"""


class Operator:
    """A process beside the server, with its database."""

    def __init__(self, server: Web) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", OPERATOR],
            cwd=ROOT,
            env={**server.env, "DJANGO_SETTINGS_MODULE": "inferencesite.settings"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def order(self, order: str, name: str = "default") -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(order, name, file=self._process.stdin, flush=True)
        assert self._process.stdout.readline() == "ordered\n"

    def go(self) -> None:
        self._process.communicate()


@contextmanager
def operator(server: Web) -> Iterator[Callable[..., None]]:
    made = Operator(server)
    try:
        yield made.order
    finally:
        made.go()


@contextmanager
def clients(server: Web) -> Iterator[Counter[Any]]:
    """Four that ask again and again; their statuses so far."""
    statuses: Counter[Any] = Counter()
    done = threading.Event()

    def ask() -> None:
        with client(server) as http:
            while not done.is_set():
                try:
                    statuses[http.post("/", json=BODY).status_code] += 1
                except httpx.HTTPError as error:
                    statuses[repr(error)] += 1
                time.sleep(PAUSE_S)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        done.set()
        for thread in threads:
            thread.join()


def more(statuses: Counter[Any]) -> None:
    """Wait for further answers."""
    enough = statuses.total() + 20
    wait_until(lambda: statuses.total() >= enough, "clients go on")


def info(http: httpx.Client) -> dict[str, Any]:
    [found] = http.get("/info").json()["pipelines"]
    return dict(found)


@pytest.fixture(scope="module")
def embedded() -> Iterator[Web]:
    with processes.web(env=ENV) as server:
        yield server


def test_an_unloaded_pipeline_says_so_everywhere_also_after_a_restart(embedded: Web):
    with client(embedded) as http, operator(embedded) as order:
        assert http.post("/", json=BODY).status_code == 200
        order("unload")
        wait_until(lambda: info(http)["state"] == "unloaded", "it is unloaded")
        reply = http.post("/", json=BODY)
        assert (reply.status_code, reply.json()["error_type"]) == (503, "not_loaded")
        today = time.strftime("%Y-%m-", time.gmtime())
        sentence = f"An operator unloaded pipeline default at {today}"
        assert reply.json()["error"].startswith(sentence)
        assert int(reply.headers["retry-after"]) == 60
        ready = http.get("/health/ready")
        assert (ready.status_code, ready.json()["reason"][: len(sentence)]) == (503, sentence)
        assert http.get("/v1/models").json()["data"][0]["state"] == "unloaded"
        [index] = http.get("/v2/repository/index").json()
        assert (index["state"], index["reason"][: len(sentence)]) == ("UNAVAILABLE", sentence)
        wait_until(lambda: "is unloaded" in embedded.log(), "its memory is free")

        embedded.terminate()
        embedded.start()
        embedded.wait_until_answers("/health/live")
        wait_until(lambda: info(http)["state"] == "unloaded", "it is unloaded")
        wait_until(lambda: "is unloaded" in embedded.newest_log(), "the host has heard of it")
        assert http.post("/", json=BODY).status_code == 503
        order("load")
        wait_until(lambda: http.get("/health/ready").status_code == 200, "it is loaded")
        assert http.post("/", json=BODY).status_code == 200


def test_a_reload_and_a_drain_in_one_process_cost_no_answer(embedded: Web):
    with client(embedded) as http, operator(embedded) as order, clients(embedded) as statuses:
        more(statuses)
        before = embedded.log().count("is unloaded")
        order("reload")
        wait_until(lambda: embedded.log().count("is unloaded") > before, "the old one has gone")
        more(statuses)
        [host] = info(http)["hosts"]
        order("drain", host)
        wait_until(lambda: info(http)["state"] == "ready" and host not in info(http)["hosts"], "another host serves")
        more(statuses)
    assert {*statuses} == {200}
    assert "Traceback" not in embedded.log()


def test_two_hosts_are_reloaded_and_one_is_drained_without_losing_an_answer():
    with (
        processes.redis_server() as redis,
        processes.worker(redis, ENV) as one,
        processes.worker(redis, ENV) as other,
        processes.web(redis, ENV) as server,
        client(server) as http,
        operator(server) as order,
    ):
        wait_until(lambda: info(http)["workers"] == 2, "both hosts are known")
        with clients(server) as statuses:
            more(statuses)
            order("reload")
            for host in (one, other):
                wait_until(lambda host=host: "is unloaded" in host.log(), "its old worker has gone")  # type: ignore[misc]
            more(statuses)
            drained = min(info(http)["hosts"])
            order("drain", drained)
            wait_until(lambda: drained not in info(http)["hosts"], "it has stopped")
            ends = one if f"{drained} has stopped" in one.log() else other
            assert ends.wait() == 0
            ends.start()
            wait_until(lambda: info(http)["workers"] == 2, "another start of it serves")
            more(statuses)
        assert {*statuses} == {200}
        for process in (one, other, server):
            assert "Traceback" not in process.log()
