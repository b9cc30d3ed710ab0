"""Limits of keys as clients see them: in every dialect, on sockets, and in several processes with one Redis."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import httpx
import pytest
from websockets.sync.client import connect

from inference.api.dialects import registry
from inference.api.dialects.base import Dialect, Endpoint
from inference.api.paths import filled
from inference.errors import LimitReached
from inference.serving.context import RequestContext
from tests import processes
from tests.conftest import client
from tests.keyring import Keyring
from tests.processes import FAKE, Redis, Web, wait_until

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

TEXT = "test [MASK]"
KEYS = {"INFERENCE_ACCESS": "keys", "INFERENCE_METRICS_ACCESS": "open"}
STANDARD = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "ratelimit-policy")


class Callers:
    """Makes keys with limits for servers that share a database; called with the same name, it is the same key."""

    def __init__(self, keys: Keyring, *webs: Web) -> None:
        self._keys, self._webs = keys, webs
        self._made: dict[str, str] = {}

    def __call__(self, name: str, **limits: float) -> dict[str, str]:
        """Headers of a caller whose key works by now."""
        if name not in self._made:
            key = self._made[name] = self._keys.make(name=name, **limits)
            for web in self._webs:
                wait_until(lambda web=web: self._works(web, key), "the key works")  # type: ignore[misc]
        return {"authorization": f"Bearer {self._made[name]}"}

    def _works(self, web: Web, key: str) -> bool:
        headers = {"authorization": f"Bearer {key}"}
        return httpx.get(f"{web.url}/info", headers=headers, trust_env=False, timeout=60).status_code == 200


@pytest.fixture(scope="module")
def one() -> Iterator[Web]:
    """A server for answers that do not matter."""
    with processes.web(env=FAKE | KEYS) as server:
        yield server


@pytest.fixture(scope="module")
def asked_by(one: Web, django_db_blocker: Any) -> Callers:
    return Callers(Keyring(one.database, django_db_blocker), one)


@pytest.fixture
def http(one: Web) -> Iterator[httpx.Client]:
    with client(one) as opened:
        yield opened


# One process


@pytest.mark.parametrize(
    ("dialect", "endpoint"), [pytest.param(*each, id=each[1].path) for each in registry.endpoints()]
)
def test_a_request_too_many_is_refused_in_the_form_of_its_dialect(
    http: httpx.Client, asked_by: Callers, dialect: Dialect, endpoint: Endpoint
):
    """Before it is read: the body is nothing that any of them takes."""
    reply = http.post(filled(endpoint.path, "default"), content=b"\0", headers=asked_by("none", requests_per_minute=0))
    sentence = "This key may send 0 requests per minute; try again in 60 s."
    expected = dialect.error(RequestContext(transport="http"), LimitReached(sentence, retry_after_s=60))
    assert (reply.status_code, expected.status) == (429, 429)
    assert reply.headers["retry-after"] == "60"
    assert [reply.headers[name] for name in STANDARD[:2]] == ["0", "0"]
    assert _plain(reply.json()) == _plain(json.loads(expected.body))
    assert ("x-ratelimit-limit-requests" in reply.headers) == (dialect.name == "openai")


def _plain(body: Any) -> Any:
    """Without what each answer has of its own."""
    return {name: value for name, value in body.items() if name != "id"} if isinstance(body, dict) else body


def test_an_answer_says_what_is_left(http: httpx.Client, asked_by: Callers):
    headers = asked_by("told", requests_per_minute=10, units_per_day=100_000)
    http.post("/", content=TEXT, headers=headers)
    reply = http.post("/", content=TEXT, headers=headers)
    assert reply.status_code == 200
    limit, left, seconds, policy = (reply.headers[name] for name in STANDARD)
    assert (limit, left) == ("10", "8")
    assert 1 <= int(seconds) <= 61
    assert policy == '10;w=60;comment="requests_per_minute", 100000;w=86400;comment="units_per_day"'
    assert not any(name in http.post("/", content=TEXT).headers for name in STANDARD)
    assert not any(name in http.post("/", content=TEXT, headers=asked_by("unlimited")).headers for name in STANDARD)


def test_a_list_is_one_request_and_so_many_inputs(http: httpx.Client, asked_by: Callers):
    headers = asked_by("lists", requests_per_minute=2, inputs_in_flight=4)
    replies = [http.post("/", json={"inputs": [TEXT] * inputs}, headers=headers) for inputs in (4, 5, 1)]
    assert [reply.status_code for reply in replies] == [200, 413, 429]
    assert replies[1].json()["error"] == "There are 5 inputs; this key may have 4 in flight."


def test_units_of_a_day_are_those_of_the_answers(http: httpx.Client, asked_by: Callers):
    headers = asked_by("units", units_per_day=3)
    replies = [http.post("/", content=TEXT, headers=headers) for _ in range(20)]
    statuses = [reply.status_code for reply in replies]
    assert statuses == sorted(statuses)
    assert (statuses[0], statuses[-1]) == (200, 429)
    assert 3600 * 24 >= int(replies[-1].headers["retry-after"]) >= 1
    bad = asked_by("bad", units_per_day=3)
    for _ in range(5):
        assert http.post("/", json={"inputs": TEXT, "parameters": {"top_k": 0}}, headers=bad).status_code == 422
    assert http.post("/", content=TEXT, headers=bad).status_code == 200, "what is refused takes no units"


def test_what_a_day_has_used_survives_a_restart(django_db_blocker: Any):
    with processes.web(env=FAKE | KEYS) as web, client(web) as http:
        headers = Callers(Keyring(web.database, django_db_blocker), web)("restarts", units_per_day=3)
        while http.post("/", content=TEXT, headers=headers).status_code == 200:
            continue
    with processes.web(env=FAKE | KEYS, database=web.database) as again, client(again) as http:
        wait_until(lambda: http.post("/", content=TEXT, headers=headers).status_code == 429, "today's units are known")
        assert "per day" in http.post("/", content=TEXT, headers=headers).json()["error"]


def test_the_longest_deadline_of_a_key(http: httpx.Client, asked_by: Callers):
    headers = asked_by("soon", max_deadline_s=5)
    for seconds, status in (("5", 200), ("5.5", 422)):
        reply = http.post("/", content=TEXT, headers=headers | {"x-request-timeout-seconds": seconds})
        assert reply.status_code == status
    assert reply.json()["error"] == "A deadline of 5.5 s is asked for; this key allows at most 5 s."


def test_a_frame_too_many_gets_an_error_and_the_socket_stays(one: Web, asked_by: Callers):
    with connect(one.socket_url, proxy=None, additional_headers=asked_by("frames", requests_per_minute=2)) as socket:
        for number in range(4):
            socket.send(json.dumps({"type": "infer", "id": str(number), "inputs": TEXT}))
        ended: dict[str, Any] = {}
        while len(ended) < 4:
            frame = json.loads(socket.recv())
            if frame["type"] in ("result", "error"):
                ended[frame["id"]] = frame
        socket.send(json.dumps({"type": "ping"}))
        assert json.loads(socket.recv())["type"] == "pong"
    assert [ended[id]["type"] for id in "0123"] == ["result", "result", "error", "error"]
    assert ended["3"]["code"] == "limit_reached"
    assert 1 <= ended["3"]["retry_after"] <= 61


def test_refusals_are_counted_by_limit_and_logged(one: Web, http: httpx.Client, asked_by: Callers):
    def refused(limit: str) -> float:
        found = [line for line in http.get("/metrics").text.splitlines() if f'limit="{limit}"' in line]
        return float(found[0].split()[1])

    before = refused("requests_per_minute")
    headers = asked_by("counted", requests_per_minute=1) | {"x-request-id": "one-too-many"}
    assert [http.post("/", content=TEXT, headers=headers).status_code for _ in range(2)] == [200, 429]
    assert refused("requests_per_minute") == before + 1
    assert refused("inputs_in_flight") == 0
    wait_until(lambda: len(one.rows("request_id = ?", "one-too-many")) == 2, "both are in the log")
    assert [row["code"] for row in one.rows("request_id = ?", "one-too-many")] == ["", "limit_reached"]


# Several processes


LIMIT = 20
ROUND = 3
"""Requests to each process before they have heard of each other."""


@pytest.fixture(scope="module")
def own_redis() -> Iterator[Redis]:
    """One that may be stopped."""
    with processes.redis_server() as server:
        yield server


class Two(NamedTuple):
    clients: list[httpx.Client]
    asked_by: Callers


@pytest.fixture(scope="module")
def two(own_redis: Redis, django_db_blocker: Any) -> Iterator[Two]:
    """Clients of two processes, which know of each other."""
    database, env = processes.new_database(), FAKE | KEYS
    with ExitStack() as stack:
        stack.enter_context(processes.worker(own_redis, FAKE))
        webs = [stack.enter_context(processes.web(own_redis, env, database=database)) for _ in range(2)]
        clients = [stack.enter_context(client(web)) for web in webs]
        asked_by = Callers(Keyring(database, django_db_blocker), *webs)
        first = asked_by("first", requests_per_minute=LIMIT)
        clients[0].post("/", content=TEXT, headers=first)
        wait_until(lambda: left(clients, first) == [LIMIT - 1] * 2, "they know of each other")
        yield Two(clients, asked_by)


def left(clients: list[httpx.Client], headers: dict[str, str]) -> list[int]:
    """Of the limit, as each process sees it. To ask is not counted."""
    return [int(http.get("/info", headers=headers).headers["ratelimit-remaining"]) for http in clients]


def statuses(http: httpx.Client, headers: dict[str, str], requests: int) -> list[int]:
    return [http.post("/", content=TEXT, headers=headers).status_code for _ in range(requests)]


def test_two_processes_have_one_limit(two: Two):
    """Over it is only what came to one process before it heard of the other: here, of a round."""
    (clients, asked_by), let_in = two, 0
    headers = asked_by("together", requests_per_minute=LIMIT)
    for _ in range(LIMIT):
        let_in += sum(statuses(http, headers, ROUND).count(200) for http in clients)
        wait_until(lambda: left(clients, headers) == [max(0, LIMIT - let_in)] * 2, "each has heard of the other")  # noqa: B023
        if let_in >= LIMIT:
            break
    assert LIMIT <= let_in < LIMIT + ROUND
    assert [statuses(http, headers, 5 * LIMIT) for http in clients] == [[429] * 5 * LIMIT] * 2


def test_while_redis_is_away_each_process_has_its_part(own_redis: Redis, two: Two):
    clients, asked_by = two
    before, away = asked_by("before", requests_per_minute=LIMIT), asked_by("away", requests_per_minute=LIMIT)
    assert statuses(clients[0], before, LIMIT) == [200] * LIMIT
    wait_until(lambda: left(clients, before) == [0, 0], "each has heard of the other")
    own_redis.kill()
    try:
        wait_until(lambda: left(clients, away) == [LIMIT // 2] * 2, "they have lost contact")
        soon = away | {"x-request-timeout-seconds": "0.02"}
        for http in clients:  # what is let in waits for Redis until its deadline
            assert statuses(http, soon, LIMIT) == [504] * (LIMIT // 2) + [429] * (LIMIT // 2)
            assert statuses(http, before, 1) == [429]
    finally:
        own_redis.start()
        own_redis.wait_until_ready()
    after = asked_by("after", requests_per_minute=LIMIT)
    wait_until(lambda: left(clients, after) == [LIMIT] * 2, "they have found each other again")
    wait_until(lambda: left(clients, away) == [0, 0], "each has heard of what the other let in")


def test_inputs_of_a_client_that_leaves_are_not_in_flight_any_more(own_redis: Redis, django_db_blocker: Any):
    """Without a worker, they would be until their deadline."""
    env = KEYS | {"INFERENCE_LAYER_PREFIX": "lonely", "INFERENCE_DEADLINE_S": "120"}
    with processes.web(own_redis, env, wait_for="/health/live") as web, client(web) as http:
        headers = Callers(Keyring(web.database, django_db_blocker), web)("leaves", inputs_in_flight=2)
        soon = headers | {"x-request-timeout-seconds": "0.05"}
        with connect(web.socket_url, proxy=None, additional_headers=headers) as socket:
            for number in range(2):
                socket.send(json.dumps({"type": "infer", "id": str(number), "inputs": TEXT}))
            socket.send(json.dumps({"type": "ping"}))
            assert json.loads(socket.recv())["type"] == "pong"
            assert http.post("/", content=TEXT, headers=soon).status_code == 429
            socket.send(json.dumps({"type": "cancel", "id": "0"}))
            assert json.loads(socket.recv())["code"] == "cancelled"
            assert http.post("/", content=TEXT, headers=soon).status_code == 504
            assert http.post("/", json={"inputs": [TEXT] * 2}, headers=soon).status_code == 429
        wait_until(
            lambda: http.post("/", json={"inputs": [TEXT] * 2}, headers=soon).status_code == 504, "the other is gone"
        )
