"""The web process that ``infer`` uses where no server runs: started with the first call, on a thread of its own."""

import asyncio
import atexit
import os
import threading

from inference.errors import Internal
from inference.process import web
from inference.process.web import WebProcess
from inference.process.web_thread import WebProcessThread

_lock = threading.Lock()
_failure: list[str] = []


class CannotServe(Exception):
    """This process cannot serve; the message is one sentence for the operator."""


def _forget_in_child() -> None:
    global _lock
    _lock = threading.Lock()
    _failure.clear()


os.register_at_fork(after_in_child=_forget_in_child)


async def started() -> WebProcess:
    """The web process of this process: the running one, or a new one. Raises ``CannotServe``."""
    if web.current() is None:
        await asyncio.to_thread(_start)
    check_failure()
    process = web.current()
    assert process is not None  # noqa: S101
    return process


def check_failure() -> None:
    """Raises ``CannotServe`` if the process has failed since it was started."""
    if _failure:
        raise CannotServe(_failure[0])


def _start() -> None:
    """Raises ``CannotServe``; the next call tries again."""
    with _lock:
        if web.current() is not None:
            return
        background = WebProcessThread(_fail)
        try:
            background.start()
        except Exception as error:
            raise CannotServe(f"This process could not be set up for inference: {error!r}.") from error
        atexit.register(_drain, background, os.getpid())


def _drain(background: WebProcessThread, pid: int) -> None:
    if os.getpid() == pid:  # a forked child has none of its parent's threads
        background.drain()


def _fail(sentence: str) -> None:
    """End the calls that wait, and let later ones raise ``CannotServe``."""
    _failure.append(sentence)
    if (process := web.current()) is not None:
        process.dispatcher.fail_all(lambda: Internal(sentence))
