"""Start and stop of the web process under Daphne, which has no ASGI lifespan and drains nothing on SIGTERM."""

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from inference.server import compat, mount
from inference.server.event_loop import limit_events

logger = logging.getLogger("inference.server")

LISTEN_BACKLOG = 1024
"""Connections that wait in the kernel to be accepted; the system may allow fewer (``somaxconn``)."""

DAPHNE_SERVES = frozenset({"daphne.cli", "daphne.management.commands.runserver"})
"""Modules of which one is imported where Daphne is the server."""
_installed = False

CloseConnections = Callable[[], Awaitable[None]]
Drain = Callable[[CloseConnections], Awaitable[None]]


def install(start: Callable[[], object], drain: Drain, prefix: str = "") -> None:
    """Hook into the reactor that runs when this process is a Daphne server; no effect under other servers.

    Args:
        start: called on the event loop when the server starts.
        drain: awaited when the process is told to stop, with the function that ends the server's connections.
        prefix: of the paths that the limits are for, such as ``/inference``; empty for all paths.

    Raises:
        SystemExit: Daphne or a library below it lacks a name that a limit depends on; the message says which.
    """
    global _installed
    if "daphne" not in sys.modules or _installed:
        return
    if missing := compat.missing():
        if DAPHNE_SERVES.isdisjoint(sys.modules):
            return  # another server, in a project that has Daphne installed
        raise SystemExit("\n".join(missing))
    _installed = True
    from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one, if Daphne has not

    from inference.server import access_log, http, websocket  # noqa: PLC0415

    mount.use(prefix)
    http.install()
    websocket.install()
    access_log.install()
    reactor.callWhenRunning(_begin, reactor, start, drain)


def _begin(reactor: Any, start: Callable[[], object], drain: Drain) -> None:
    loop = asyncio.get_event_loop()
    limit_events(loop)
    gc.freeze()  # a full collection would walk all that is imported by now: 60 ms on the event loop
    loop.call_soon(start)
    reactor.callLater(0, _extend_backlog, reactor)
    if threading.current_thread() is threading.main_thread():
        # Twisted installs its own handlers after this hook has run.
        reactor.callLater(0, _handle_signals, loop, partial(_drain_and_exit, reactor, drain))


def _extend_backlog(reactor: Any) -> None:
    """Beyond Twisted's backlog of 50, a client's handshake is dropped, and repeated by its system seconds later."""
    from twisted.internet import tcp  # noqa: PLC0415

    for port in reactor.getReaders():
        if isinstance(port, tcp.Port):
            port.socket.listen(LISTEN_BACKLOG)


def _handle_signals(loop: asyncio.AbstractEventLoop, drain_and_exit: Callable[[], Coroutine[Any, Any, None]]) -> None:
    stopping = False
    draining: list[asyncio.Task[None]] = []  # an event loop has only weak references to its tasks

    def drain() -> None:
        draining.append(loop.create_task(drain_and_exit()))

    def stop(signum: int, _frame: object) -> None:
        nonlocal stopping
        if stopping:
            os._exit(128 + signum)  # the second signal ends the process at once
        stopping = True
        loop.call_soon_threadsafe(drain)

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, stop)


async def _drain_and_exit(reactor: Any, drain: Drain) -> None:
    """Drain, then end without Daphne's own shutdown.

    That fails on connections in mid-upload (KeyError in ``kill_all_applications``, then a crash while pending tasks
    are collected), and a model thread that hangs must not hold the process.
    """
    from inference.server.closing import close_connections  # noqa: PLC0415 - a server that is not Daphne has no Twisted

    code = 0
    try:
        await drain(lambda: close_connections(reactor))
    except Exception:
        logger.exception("Draining failed")
        code = 1
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)
