"""A web process: what it starts, and in which order it stops."""

import asyncio
import logging
import os
import secrets
import threading
from collections.abc import Awaitable, Callable
from typing import NoReturn, cast

from channels.layers import InMemoryChannelLayer, channel_layers

from inference import catalog, checks, conf
from inference.access.limit_exchange import LimitExchange, UsedOn
from inference.access.limits import LimitCounters
from inference.control.desired import UNREAD
from inference.messaging.layer import ChannelLayer, configured
from inference.messaging.shared_values import SharedValues, shareable
from inference.polling.stamp_poll import Reader, StampPoll
from inference.process.embedded_host import EmbeddedHost
from inference.request_log.usage_table import used_today
from inference.request_log.writer import RequestLog
from inference.scheduling.dispatcher import Dispatcher
from inference.serving import current_service
from inference.serving.service import Service

logger = logging.getLogger(__name__)
server_logger = logging.getLogger("inference.server")

LIMITS_HASH = "inference.limits"


class WebProcess:
    """Dispatcher, service, request log and, with the in-memory layer, a worker host: all on one event loop.

    Args:
        on_fatal: called with one sentence when the process cannot serve.
        log_requests: use the database: write the request log to it, and read what operators want of pipelines.
    """

    def __init__(self, on_fatal: Callable[[str], None], *, log_requests: bool = True) -> None:
        layer = cast("ChannelLayer", configured())
        embedded = isinstance(layer, InMemoryChannelLayer)
        self.conf = conf.current()
        self.loop = asyncio.get_running_loop()
        pipelines = catalog.current()
        self.dispatcher = Dispatcher(layer, pipelines.names, most_bytes=self.conf.max_pending_bytes)
        self.embedded_host = EmbeddedHost(layer, self.conf, pipelines, on_fatal) if embedded else None
        self._request_log = RequestLog(audit=self.conf.audit == "chain")
        self._log_requests = log_requests
        self.service = Service(self.conf, pipelines, self.dispatcher, self._request_log, embedded=embedded)
        used_on = used_today if log_requests and self.conf.access == "keys" else None
        self._limits = limit_exchange(self.service.limits, layer, self.conf, used_on)
        self._poll = StampPoll()
        self._on_fatal = on_fatal
        self._serves = False

    def serve(self) -> None:
        """Clients of a server are going to ask, not only code of this process. On any thread, any number of times."""
        if not self._serves:
            self._serves = True
            self.loop.call_soon_threadsafe(self._read_database)

    def _read_database(self) -> None:
        self.service.access.start(self._poll)
        if self._log_requests:
            self._poll.add(Reader(self.dispatcher.desired.read, lambda: UNREAD))
        if self._log_requests or self.service.access.reads_keys:
            self._poll.thread.start()

    def start(self) -> None:
        for found in checks.run():
            if found.is_serious():
                self._on_fatal(str(found.msg))
            logger.warning("%s %s", found.msg, found.hint or "")
        if self._log_requests:
            self._request_log.start()
        if self.embedded_host is not None:
            self.embedded_host.start()
        self._limits.start()
        self.loop.call_soon(self.dispatcher.start)  # the embedded host is a member by then: it gets the first hello

    async def answer_accepted(self) -> None:
        """Refuse new requests and answer the accepted ones; their log entries are written.

        For servers that stop by themselves afterwards: whether ``drain`` is called before they end is theirs.
        """
        await self._finish_requests()
        await self._request_log.flush()

    async def drain(self, close_connections: Callable[[], Awaitable[None]] | None = None) -> None:
        """Answer what was accepted, stop the worker, write the log.

        ``close_connections`` ends the server's connections before the log is written, so that requests refused
        meanwhile are in it.
        """
        await self._finish_requests()
        if self.embedded_host is not None:
            await self.embedded_host.drain(timeout_s=1)
        if close_connections is not None:
            await close_connections()
        await self._request_log.stop()
        await self._limits.stop()
        await self.service.access.stop()
        await self._poll.thread.stop()
        await self.dispatcher.stop()
        logger.info("Stopped")

    async def _finish_requests(self) -> None:
        logger.info("Stopping: new requests are refused, %d inputs are answered first", self.service.pending_inputs)
        await self.service.drain(self.conf.drain_s)


def limit_exchange(
    counters: LimitCounters, layer: ChannelLayer, settings: conf.Conf, used_on: UsedOn | None = None
) -> LimitExchange:
    """Among all web processes, where callers have keys and the layer is a Redis."""
    shared = settings.access == "keys" and shareable(layer)
    member = secrets.token_hex(6)
    return LimitExchange(counters, member, SharedValues(layer, LIMITS_HASH, member) if shared else None, used_on)


def exit_fatally(sentence: str) -> NoReturn:
    """End the process at once with exit code 1; the log says why."""
    server_logger.critical("Cannot serve: %s", sentence)
    os._exit(1)


_current: WebProcess | None = None
_starting = threading.Lock()


def current() -> WebProcess | None:
    return _current


def start(on_fatal: Callable[[str], None], *, log_requests: bool = True) -> WebProcess:
    """The one ``WebProcess`` of this process; started on the running loop if there is none."""
    global _current
    with _starting:
        if _current is None:
            process = WebProcess(on_fatal, log_requests=log_requests)
            process.start()
            _current = process
            current_service.use(process.service)
        return _current


def _forget_in_child() -> None:
    """A child process, forked by Celery for example, has the memory of its parent, but none of its threads."""
    global _current, _starting
    _starting = threading.Lock()
    if _current is not None:
        _current = None
        current_service.use(None)
        channel_layers.backends.clear()  # their queues and connections are those of the parent


os.register_at_fork(after_in_child=_forget_in_child)


async def stop() -> None:
    """Drain the one ``WebProcess``, on its loop, and forget it: ``start`` makes a new one."""
    global _current
    if _current is not None:
        await _current.drain()
        _current = None
        current_service.use(None)
