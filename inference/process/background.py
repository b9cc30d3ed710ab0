"""A web process on a thread of its own, for code that runs in no server: management commands, shells, scripts."""

import asyncio
import atexit
import threading
from concurrent.futures import Future

from inference.errors import Internal
from inference.process import web
from inference.process.web import WebProcess

_lock = threading.Lock()
_failure: list[str] = []


class CannotServe(Exception):
    """This process cannot serve; the message is one sentence for the operator."""


async def started() -> WebProcess:
    """The web process of this process: the running one, or a new one on a thread. Raises ``CannotServe``."""
    if web.current() is None:
        await asyncio.to_thread(_start_on_thread)
    check_failure()
    process = web.current()
    assert process is not None  # noqa: S101
    return process


def check_failure() -> None:
    """Raises ``CannotServe`` if the process has failed since it was started."""
    if _failure:
        raise CannotServe(_failure[0])


def _start_on_thread() -> None:
    """Raises ``CannotServe``; the next call tries again."""
    with _lock:
        if web.current() is not None:
            return
        future: Future[WebProcess] = Future()
        threading.Thread(target=_serve, args=(future,), name="inference", daemon=True).start()
        try:
            process = future.result()
        except Exception as error:
            raise CannotServe(f"This process could not be set up for inference: {error!r}.") from error
        atexit.register(_stop, process)


def _serve(future: "Future[WebProcess]") -> None:
    """Runs on the thread until Python ends."""

    async def serve() -> None:
        future.set_result(web.start(_fail))
        await asyncio.Event().wait()

    try:
        asyncio.run(serve())
    except Exception as error:
        if future.done():
            raise
        future.set_exception(error)


def _stop(process: WebProcess) -> None:
    """Write the last rows of the request log as the process ends."""
    asyncio.run_coroutine_threadsafe(process.drain(), process.loop).result(timeout=10)


def _fail(sentence: str) -> None:
    """End the calls that wait, and let later ones raise ``CannotServe``."""
    _failure.append(sentence)
    if (process := web.current()) is not None:
        process.dispatcher.fail_all(lambda: Internal(sentence))
