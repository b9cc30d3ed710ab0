"""The life of one web process: what it starts, in which order it stops, and the door for other Python code."""

import asyncio
import atexit
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import msgspec
from channels.layers import InMemoryChannelLayer, get_channel_layer
from channels.routing import get_default_application

from inference import checks, conf, pipelines
from inference.dispatcher import Dispatcher
from inference.errors import InferenceError, Invalid
from inference.models import InferenceRequest
from inference.outbox import ChannelLayer
from inference.request_log import RequestLog
from inference.service import Request, Service
from inference.wire import Query
from inference.worker import InferenceWorker

logger = logging.getLogger(__name__)

T = TypeVar("T")
RESTART_FIRST_S, RESTART_LAST_S = 1.0, 30.0


class CannotServe(Exception):
    """The process cannot do its job; the message is one sentence for the operator."""


class WebProcess:
    """Dispatcher, service, request log and, with the in-memory layer, a worker: all on one event loop.

    Args:
        on_fatal: called with one sentence when the process cannot serve.
    """

    def __init__(self, on_fatal: Callable[[str], None]) -> None:
        layer = cast("ChannelLayer", get_channel_layer())
        self.conf = conf.current()
        self.loop = asyncio.get_running_loop()
        self.dispatcher = Dispatcher(layer)
        self._embedded = isinstance(layer, InMemoryChannelLayer)
        self._request_log = RequestLog()
        self.service = Service(self.conf, self.dispatcher, self._request_log, embedded=self._embedded)
        self._on_fatal = on_fatal
        self._layer = layer
        self._worker: InferenceWorker | None = None
        self._supervisor: asyncio.Task[None] | None = None

    def start(self) -> None:
        for found in checks.run():
            if found.is_serious():
                self._on_fatal(str(found.msg))
            logger.warning("%s %s", found.msg, found.hint or "")
        self._request_log.start()
        self.dispatcher.start()
        if self._embedded:
            self._supervisor = self.loop.create_task(self._keep_worker())

    async def drain(self, hang_up: Callable[[], Awaitable[None]] | None = None) -> None:
        """Answer what was accepted, stop the worker, write the log.

        ``hang_up`` ends the server's connections, before the log is written: what they still ask is refused, and in it.
        """
        logger.info("Stopping: new requests are refused, %d inputs are answered first", self.service.admission.taken)
        await self.service.drain(self.conf.drain_s)
        if self._worker is not None:
            await self._worker.drain(timeout_s=1)
        if self._supervisor is not None:
            self._supervisor.cancel()
        if hang_up is not None:
            await hang_up()
        await self._request_log.stop()
        await self.dispatcher.stop()
        logger.info("Stopped")

    async def _keep_worker(self) -> None:
        """Run the embedded worker. One that was ready is started again; one that cannot load ends the process."""
        pause_s = RESTART_FIRST_S
        while True:
            self._worker = InferenceWorker(get_default_application(), self._layer, self.conf, pipelines.load)
            try:
                await self._worker.arun()
            except Exception as error:
                if not self._worker.was_ready:
                    self._on_fatal(_sentence(error))
                    return
                logger.exception("The worker ended; a new one starts in %g s", pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, RESTART_LAST_S)
            else:
                return  # drained


def _sentence(error: Exception) -> str:
    if not isinstance(error, pipelines.LoadFailed):
        logger.error("Loading failed", exc_info=error)
        return f"The model could not be loaded: {error!r}"
    return str(error)


_current: WebProcess | None = None
_lock = threading.Lock()


def current() -> WebProcess | None:
    return _current


def start(on_fatal: Callable[[str], None]) -> WebProcess:
    """The process's one ``WebProcess``, started on the running loop if there is none yet."""
    global _current
    if _current is None:
        _current = WebProcess(on_fatal)
        _current.start()
    return _current


async def infer(inputs: Any, parameters: dict[str, Any] | None = None, deadline_s: float | None = None) -> Any:
    """What the pipeline returns for a text, or for each text of a list; through the same door as HTTP requests.

    May be awaited on any event loop and thread. In a process that serves nothing, the first call starts what is
    needed on a thread of its own.

    Raises:
        InferenceError: as a client would be told.
        CannotServe: this process cannot serve (say, the model cannot be loaded).
    """
    process = _ensure_somewhere()
    work = _answer(process.service, inputs, parameters, deadline_s)
    try:
        if process.loop is asyncio.get_running_loop():
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, process.loop))
    except InferenceError:
        _check_failure()  # found while this call waited
        raise


def infer_sync(inputs: Any, parameters: dict[str, Any] | None = None, deadline_s: float | None = None) -> Any:
    """``infer`` for code without an event loop. Raises as ``infer`` does, and ``RuntimeError`` on a running loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(infer(inputs, parameters, deadline_s))
    raise RuntimeError("infer_sync() would block the running event loop; use `await infer()`.")


async def _answer(service: Service, inputs: Any, parameters: Any, deadline_s: float | None) -> Any:
    request = Request(transport=InferenceRequest.Transport.PYTHON, client=None)
    outputs = await service.answer(request, lambda: _query(inputs, parameters, deadline_s))
    decoded = [msgspec.json.decode(output) for output in outputs]
    return decoded if request.many else decoded[0]


def _query(inputs: Any, parameters: Any, deadline_s: float | None) -> Query:
    return Query.of(_plain(inputs), parameters=_plain(parameters), deadline_s=deadline_s)


def _plain(value: Any) -> Any:
    """As JSON would have it: Python callers also pass tuples, and texts that Django marked safe.

    Raises:
        Invalid: what JSON has no word for.
    """
    try:
        return msgspec.json.decode(msgspec.json.encode(value, enc_hook=_plain_text))
    except (TypeError, ValueError) as error:
        raise Invalid(f"inputs and parameters must be plain JSON values: {error}.") from None


def _plain_text(value: Any) -> str:
    if isinstance(value, str):
        return "".join(value)
    raise TypeError(f"{type(value).__name__} is none")


def _ensure_somewhere() -> WebProcess:
    """The running process's, or one on a new thread."""
    with _lock:
        if _current is None:
            started: list[WebProcess] = []
            ready = threading.Event()

            async def serve() -> None:
                started.append(start(_raise_later))
                ready.set()
                await asyncio.Event().wait()

            threading.Thread(target=lambda: asyncio.run(serve()), name="inference", daemon=True).start()
            ready.wait()
            atexit.register(_stop, started[0])
    _check_failure()
    assert _current is not None  # noqa: S101
    return _current


def _stop(process: WebProcess) -> None:
    """As the process ends: the last rows of the log."""
    asyncio.run_coroutine_threadsafe(process.drain(), process.loop).result(timeout=10)


_failure: list[str] = []


def _check_failure() -> None:
    if _failure:
        raise CannotServe(_failure[0])


def _raise_later(sentence: str) -> None:
    _failure.append(sentence)
