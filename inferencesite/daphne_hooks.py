"""Daphne has no ASGI lifespan and ends abruptly on SIGTERM: start eagerly and drain through its reactor."""

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from typing import Any

from inference import lifecycle
from inferencesite.edge import die
from inferencesite.few_events import take_few
from inferencesite.loops import run_here, run_on

logger = logging.getLogger("inference.edge")

MOST_UNTAKEN = 1024
"""Connections that the kernel has made and that wait to be taken; the system may allow fewer (``somaxconn``)."""


def install() -> None:
    """Hook into the reactor that runs when this process is a Daphne server; no effect anywhere else."""
    if "daphne.server" not in sys.modules:
        return
    from twisted.internet import reactor  # noqa: PLC0415 - importing it installs one, if Daphne has not

    from inferencesite import daphne_http, daphne_websocket  # noqa: PLC0415

    daphne_http.install()
    daphne_websocket.install()
    reactor.callWhenRunning(_begin, reactor)


def _queue_connections(reactor: Any) -> None:
    """Twisted lets 50 connections wait to be taken; clients beyond them hear nothing, and try again seconds later."""
    from twisted.internet import tcp  # noqa: PLC0415

    for port in reactor.getReaders():
        if isinstance(port, tcp.Port):
            port.socket.listen(MOST_UNTAKEN)


def _begin(reactor: Any) -> None:
    loop = asyncio.get_event_loop()
    take_few(loop)
    gc.freeze()  # what is imported by now never dies, and a full collection walks it: 60 ms on the event loop
    loop.call_soon(lifecycle.start, die)
    reactor.callLater(0, _queue_connections, reactor)
    if threading.current_thread() is threading.main_thread():
        # Twisted installs its own handlers after this hook has run.
        reactor.callLater(0, _handle_signals, loop, reactor)


def _handle_signals(loop: asyncio.AbstractEventLoop, reactor: Any) -> None:
    stopping = False
    draining: list[asyncio.Task[None]] = []  # a loop alone does not keep its tasks

    def drain() -> None:
        draining.append(loop.create_task(_drain_and_exit(reactor)))

    def stop(signum: int, _frame: object) -> None:
        nonlocal stopping
        if stopping:
            os._exit(128 + signum)  # asked twice: at once
        stopping = True
        loop.call_soon_threadsafe(drain)

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, stop)


async def _drain_and_exit(reactor: Any) -> None:
    """Drain, then end without Daphne's own shutdown.

    That one fails on connections in mid-upload (KeyError in ``kill_all_applications``, then a crash while pending
    tasks are collected), and a model thread that hangs must not hold the process.
    """
    from inferencesite.hanging_up import hang_up  # noqa: PLC0415 - a server that is not Daphne has no Twisted

    code = 0
    try:
        process = lifecycle.current()
        if process is not None:
            await run_on(process.loop, process.drain, run_here(lambda: hang_up(reactor)))
    except Exception:
        logger.exception("Draining failed")
        code = 1
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)
