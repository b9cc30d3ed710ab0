"""Start and stop of the web process under Daphne, which has no ASGI lifespan and drains nothing on SIGTERM."""

import asyncio
import atexit
import gc
import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from inference import conf
from inference.server import compat, mount
from inference.server.event_loop import limit_events
from inference.server.signals import drain_first

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


def daphne_serves() -> bool:
    """Whether its reactor runs in this process."""
    reactor = sys.modules.get("twisted.internet.reactor")
    return bool(reactor and reactor.running)


def _begin(reactor: Any, start: Callable[[], object], drain: Drain) -> None:
    loop = asyncio.get_event_loop()
    limit_events(loop)
    gc.freeze()  # a full collection would walk all that is imported by now: 60 ms on the event loop
    loop.call_soon(start)
    reactor.callLater(0, _extend_backlog, reactor)
    # Twisted installs its own handlers after this hook has run.
    reactor.callLater(0, drain_first, partial(_drain, reactor, drain))


def _extend_backlog(reactor: Any) -> None:
    """Beyond Twisted's backlog of 50, a client's handshake is dropped, and repeated by its system seconds later."""
    from twisted.internet import tcp  # noqa: PLC0415

    for port in reactor.getReaders():
        if isinstance(port, tcp.Port):
            port.socket.listen(LISTEN_BACKLOG)


async def _drain(reactor: Any, drain: Drain) -> None:
    # A server that is not Daphne has no Twisted.
    from inference.server.closing import close_connections, leave_inherited, stop_listening  # noqa: PLC0415

    atexit.register(_exit, 1)
    leave_inherited(reactor)
    if conf.current().drain_port == "closed":
        await stop_listening(reactor)
    await drain(lambda: close_connections(reactor))
    atexit.unregister(_exit)
    atexit.register(_exit, 0)


def _exit(code: int) -> None:
    """As Python ends, and before all other exit functions: run those, then end the process.

    Otherwise Python would collect what is left, and crash: on tasks of unfinished uploads, which Daphne does not cancel
    (``KeyError`` in ``kill_all_applications``), or under a model thread that is still running (decision 0004).
    """
    atexit.unregister(_exit)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
