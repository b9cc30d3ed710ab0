"""Real signals, to handlers as a server has them."""

import asyncio
import gc
import signal
import threading
from collections.abc import Iterator

import pytest

from inference.server.signals import SIGNALS, drain_first


class Server:
    """Its handlers note the signals that they get."""

    def __init__(self) -> None:
        self.got: list[int] = []
        self.drains = 0
        self.draining = asyncio.Event()
        self.drained = asyncio.Event()
        self.stopped = asyncio.Event()

    def stop(self, signum: int, _frame: object) -> None:
        self.got.append(signum)
        self.stopped.set()

    async def drain(self) -> None:
        self.drains += 1
        self.draining.set()
        await self.drained.wait()


@pytest.fixture
def server() -> Iterator[Server]:
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    server = Server()
    for signum in SIGNALS:
        signal.signal(signum, server.stop)
    yield server
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.mark.parametrize("signum", SIGNALS)
async def test_the_server_gets_the_signal_when_all_is_drained(server: Server, signum: signal.Signals) -> None:
    drain_first(server.drain)
    signal.raise_signal(signum)
    await server.draining.wait()
    gc.collect()  # an event loop has only weak references to its tasks
    assert server.got == []
    server.drained.set()
    await server.stopped.wait()
    assert server.got == [signum]
    assert [signal.getsignal(each) for each in SIGNALS] == [server.stop] * 2, "later signals are the server's"


async def test_the_second_signal_is_the_servers_at_once(server: Server) -> None:
    drain_first(server.drain)
    signal.raise_signal(signal.SIGTERM)
    await server.draining.wait()
    signal.raise_signal(signal.SIGINT)
    assert server.got == [signal.SIGINT]
    server.drained.set()
    await asyncio.sleep(0.01)
    assert (server.got, server.drains) == ([signal.SIGINT], 1), "the first one is not repeated"


async def test_the_server_stops_also_if_draining_fails(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise OSError("broken")

    drain_first(fail)
    signal.raise_signal(signal.SIGTERM)
    await server.stopped.wait()
    assert "Draining failed" in caplog.text


async def test_an_ignored_signal_stays_ignored(server: Server) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    drain_first(server.drain)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) != server.stop


async def test_a_server_on_another_thread_has_no_signals(server: Server) -> None:
    thread = threading.Thread(target=drain_first, args=(server.drain,))
    thread.start()
    await asyncio.to_thread(thread.join)
    assert signal.getsignal(signal.SIGTERM) == server.stop


async def test_at_the_end_of_a_lifespan_the_servers_handlers_are_back(server: Server) -> None:
    handler = drain_first(server.drain)
    assert handler is not None
    handler.remove()
    assert [signal.getsignal(each) for each in SIGNALS] == [server.stop] * 2


def test_where_the_loop_has_ended_the_signal_is_the_servers(server: Server) -> None:
    async def serve() -> None:
        drain_first(server.drain)

    asyncio.run(serve())
    signal.raise_signal(signal.SIGTERM)
    assert server.got == [signal.SIGTERM]
