"""Requests that are refused as bytes: which ones, how many at a time, and what becomes of those that wait for it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from inference.access.checking import Caller as Caller_
from inference.access.principal import NOBODY, Principal
from inference.api.dialects.base import Reply
from inference.conf import Conf
from inference.errors import Draining, InferenceError, Overloaded, Unauthorized
from inference.server import early_refusal, refusals
from inference.server.early_refusal import BURST_S, LOOK_EVERY_S, SHARE_OF_LOOP, Budget, EarlyRefusal, RequestHead, read

BODY = b"test [MASK]"
PLAIN = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n" + BODY


def request(*headers: bytes, start: bytes = b"POST / HTTP/1.1", length: int = len(BODY), body: bytes = BODY) -> bytes:
    return b"\r\n".join([start, b"Host: a", b"Content-Length: %d" % length, *headers, b"", body])


def head(data: bytes, **options: Any) -> RequestHead | None:
    return read(data, **({"most_body_bytes": 1000} | options))


def values(data: bytes, **options: Any) -> tuple[Any, ...]:
    """What the head says, after dialect and endpoint, and before its lines."""
    found = head(data, **options)
    assert found is not None
    return tuple(found[2:-2])


def test_of_a_plain_request_its_headers_are_read():
    given = request(
        b"X-Request-Timeout-Seconds:  2.5 ", b"x-request-ID: a\xff", b"TraceParent: 00-1", b"X-Real: 1.2.3.4"
    )
    assert values(given, forwarded_for="X-Real") == ("default", 0, "2.5", "a\xff", "00-1", "1.2.3.4")
    assert values(given) == ("default", 0, "2.5", "a\xff", "00-1", "")
    assert values(PLAIN) == ("default", 0, "", "", "", "")


CATALOG = {
    "chat": {"task": "text-generation", "model": "a/model"},
    "topics": {"task": "text-classification", "model": "a/model", "aliases": ["acme/topics", "t"]},
}


@pytest.fixture
def catalog(settings: Any) -> Iterator[None]:
    settings.INFERENCE = Conf(pipelines=CATALOG)
    early_refusal._endpoints.cache_clear()
    yield
    early_refusal._endpoints.cache_clear()


@pytest.mark.parametrize(
    ("path", "pipeline"),
    [
        (b"/", "chat"),
        (b"/pipelines/chat", "chat"),
        (b"/pipelines/topics/", "topics"),
        (b"/pipelines/acme/topics", "topics"),
        (b"/pipelines/acme/topics/", "topics"),
        (b"/pipelines/t", "topics"),
    ],
)
@pytest.mark.usefixtures("catalog")
def test_the_path_says_which_pipeline_is_asked(path: bytes, pipeline: str):
    assert values(request(start=b"POST " + path + b" HTTP/1.1"))[0] == pipeline


@pytest.mark.parametrize("path", [b"/pipelines/", b"/pipelines/nobody", b"/pipelines/acme", b"/pipelines/chat/info"])
@pytest.mark.usefixtures("catalog")
def test_other_paths_below_pipelines_are_for_the_application(path: bytes):
    assert head(request(start=b"POST " + path + b" HTTP/1.1")) is None


def test_any_other_header_can_be_looked_up():
    found = head(request(b"ORIGIN: https://a", b"user-agent:b"))
    assert found is not None
    assert [found.header(name) for name in (b"origin", b"user-agent", b"cookie")] == ["https://a", "b", ""]


def test_of_several_headers_of_a_name_the_first_counts_as_everywhere():
    found = head(request(b"x-request-id: a", b"x-request-id: b"))
    assert found is not None
    assert found.request_id == "a"


@pytest.mark.parametrize("missing", range(1, 12))
def test_what_is_missing_of_the_body_is_known(missing: int):
    found = head(PLAIN[:-missing])
    assert found is not None
    assert found.missing == missing


@pytest.mark.parametrize(
    "data",
    [
        PLAIN[:40],
        PLAIN + b"x",
        PLAIN + PLAIN,
        request(start=b"GET / HTTP/1.1"),
        request(start=b"POST /other HTTP/1.1"),
        request(start=b"POST / HTTP/1.0"),
        request(b"Transfer-Encoding: chunked"),
        request(b"Expect: 100-continue"),
        request(b"Upgrade: websocket"),
        request(b"Connection:close"),
        request(length=2000, body=b""),
        b"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n",
        b"POST / HTTP/1.1\r\nX: " + 70_000 * b"a" + b"\r\nContent-Length: 0\r\n\r\n",
        b"",
    ],
)
def test_anything_else_is_for_twisted_to_read(data: bytes):
    assert head(data) is None


def test_refusals_have_a_share_of_the_time_and_may_save_up_a_little():
    budget, spent = Budget(0.0), 0.0
    for tick in range(1, 1001):
        while budget.left(tick / 100):
            budget.spend(0.001)
            spent += 0.001
    assert spent == pytest.approx(10 * SHARE_OF_LOOP + BURST_S, abs=0.01)
    assert budget.left(1000.0)
    budget.spend(BURST_S)
    assert not budget.left(1000.0)


class Connection:
    """An ``http_connection.Connection`` that records calls."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.waiting = self.lost = False
        self.told: list[str] = []

    def client_address(self, forwarded_for: str) -> tuple[str, int]:
        return self.name, 0

    def answer(self, data: bytes, *, close: bool) -> None:
        assert data.startswith((b"HTTP/1.1 503 ", b"HTTP/1.1 529 "))
        self.told.append("refused, closed" if close else "refused")

    def parse(self, data: bytes) -> None:
        assert data == PLAIN
        self.told.append("let in")

    def resume(self) -> None:
        self.told.append("read on")


class Server:
    """An early refusal whose time, budget and admission are controlled."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.error: InferenceError | None = Overloaded("Later.", retry_after_s=1)
        self.draining = False
        self.cpu_s = self.cost_s = 0.0
        """CPU time so far, and what one more refusal takes."""
        self.timers: list[Callable[[], None]] = []
        self.gate = EarlyRefusal(self._call_later, lambda: self.now)
        monkeypatch.setattr(refusals, "would_refuse", lambda *_: self.error is not None)
        monkeypatch.setattr(refusals, "refusal_after", lambda *_: self.error)
        monkeypatch.setattr(refusals, "refuse", self._refuse)
        monkeypatch.setattr(refusals, "draining", lambda: self.draining)
        monkeypatch.setattr("time.thread_time", lambda: self.cpu_s)

    def ask(self, name: str) -> Connection:
        connection, found = Connection(name), head(PLAIN)
        assert found is not None
        if not self.gate.takes(connection, PLAIN, found):
            connection.parse(PLAIN)
        return connection

    def exhaust(self) -> None:
        self.gate._budget.spend(2 * BURST_S)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        timers, self.timers = self.timers, []
        for call in timers:
            call()

    def _refuse(self, *_: Any, **__: Any) -> Reply:
        self.cpu_s += self.cost_s
        return Reply(503, [], b"")

    def _call_later(self, seconds: float, call: Callable[[], None]) -> None:
        assert seconds == LOOK_EVERY_S
        self.timers.append(call)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


def test_a_request_that_is_not_refused_goes_on_to_twisted(server: Server):
    server.error = None
    server.exhaust()
    assert server.ask("a").told == ["let in"]


def test_a_refusal_is_made_at_once_while_there_is_time_for_it(server: Server):
    assert server.ask("a").told == ["refused"]


def test_without_time_for_it_connections_wait_in_order(server: Server, monkeypatch: pytest.MonkeyPatch):
    server.cost_s = BURST_S
    monkeypatch.setattr(early_refusal, "MOST_S", 10.0)
    assert server.ask("now").told == ["refused"]
    first, second = server.ask("a"), server.ask("b")
    assert (first.waiting, first.told, len(server.timers)) == (True, [], 1)
    server.pass_time(LOOK_EVERY_S)
    assert (first.told, second.told, len(server.timers)) == ([], [], 1)
    server.pass_time(3 * BURST_S / SHARE_OF_LOOP)
    assert (first.told, first.waiting) == (["refused", "read on"], False)
    assert (second.told, second.waiting, len(server.timers)) == ([], True, 1)


def test_a_single_refusal_that_took_long_stops_no_others(server: Server):
    """The garbage collector may have run meanwhile."""
    server.cost_s = 10.0
    assert [server.ask(str(number)).told for number in range(10)] == [["refused"]] * 10


def test_connections_are_let_in_in_the_order_of_arrival(server: Server):
    server.exhaust()
    waiting = server.ask("a")
    server.now += 3 * BURST_S / SHARE_OF_LOOP
    assert server.ask("b").waiting
    server.pass_time(0.0)
    assert waiting.told == ["refused", "read on"]


def test_a_waiting_connection_is_let_in_when_there_is_room(server: Server):
    server.exhaust()
    waiting = server.ask("a")
    server.error = None
    server.pass_time(3 * BURST_S / SHARE_OF_LOOP)
    assert waiting.told == ["let in", "read on"]


def test_a_connection_that_was_lost_costs_nothing(server: Server):
    server.exhaust()
    gone, other = server.ask("a"), server.ask("b")
    gone.lost = True
    server.pass_time(3 * BURST_S / SHARE_OF_LOOP)
    assert (gone.told, other.told) == ([], ["refused", "read on"])


def test_a_connection_that_fails_delays_no_other(server: Server):
    server.exhaust()
    broken, other = server.ask("a"), server.ask("b")
    broken.answer = None  # type: ignore[assignment]
    with pytest.raises(TypeError):
        server.pass_time(3 * BURST_S / SHARE_OF_LOOP)
    server.pass_time(LOOK_EVERY_S)
    assert other.told == ["refused", "read on"]


def test_a_process_that_stops_refuses_all_that_wait(server: Server):
    server.exhaust()
    waiting = [server.ask(str(number)) for number in range(50)]
    server.draining, server.error = True, Draining("This server is stopping.")
    server.pass_time(0.0)
    assert all(connection.told == ["refused, closed", "read on"] for connection in waiting)
    assert not server.timers


def test_a_dialect_may_use_any_status(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(refusals, "refuse", lambda *_, **__: Reply(529, [], b""))
    assert server.ask("a").told == ["refused"]


# Keys


class Caller:
    """An early refusal in a deployment with keys, where there is room or not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, found: Caller_) -> None:
        self.asked = 0
        self.refused: list[tuple[InferenceError, Principal, str]] = []
        monkeypatch.setattr(refusals, "caller", lambda client, header: self._found(found))
        monkeypatch.setattr(refusals, "refuse", self._refuse)

    def _found(self, found: Caller_) -> Caller_:
        self.asked += 1
        return found

    def _refuse(self, request: Any, context: Any, error: InferenceError, *, close: bool) -> Reply:
        self.refused.append((error, context.principal, request.pipeline))
        return Reply(503, [], b"")


@pytest.mark.parametrize("room", [True, False])
def test_without_a_key_that_alone_is_told(server: Server, monkeypatch: pytest.MonkeyPatch, *, room: bool):
    wrong = Unauthorized("No.")
    caller = Caller(monkeypatch, wrong)
    server.error = None if room else server.error
    assert server.ask("a").told == ["refused"]
    assert caller.refused == [(wrong, NOBODY, "")]


def test_who_waits_for_a_refusal_is_not_counted_twice(server: Server, monkeypatch: pytest.MonkeyPatch):
    caller = Caller(monkeypatch, Unauthorized("No."))
    server.exhaust()
    waiting = server.ask("a")
    server.error = None
    server.pass_time(3 * BURST_S / SHARE_OF_LOOP)
    assert waiting.told == ["refused", "read on"]
    assert caller.asked == 1


def test_with_a_key_the_load_decides(server: Server, monkeypatch: pytest.MonkeyPatch):
    principal = Principal(key="a")
    caller = Caller(monkeypatch, principal)
    assert server.ask("a").told == ["refused"]
    assert caller.refused == [(server.error, principal, "default")]
    server.error = None
    assert server.ask("a").told == ["let in"]


def test_a_key_that_is_not_for_this_is_told_so_by_the_application(server: Server, monkeypatch: pytest.MonkeyPatch):
    Caller(monkeypatch, Principal(key="a", routes=frozenset({"openai"})))
    assert server.ask("a").told == ["let in"]
