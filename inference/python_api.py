"""The door for other Python code: through it, a request goes the way of those of HTTP."""

import asyncio
import atexit
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import msgspec

from inference.errors import InferenceError, Internal, Invalid
from inference.models import InferenceRequest
from inference.process import web
from inference.process.web import WebProcess
from inference.serving.query import Query
from inference.serving.service import Request, Service

_lock = threading.Lock()


class CannotServe(Exception):
    """The process cannot do its job; the message is one sentence for the operator."""


async def infer(inputs: Any, parameters: dict[str, Any] | None = None, deadline_s: float | None = None) -> Any:
    """What the pipeline returns for a text, or for each text of a list; through the same door as HTTP requests.

    May be awaited on any event loop and thread. In a process that serves nothing, the first call starts what is
    needed on a thread of its own.

    Raises:
        InferenceError: as a client would be told.
        CannotServe: this process cannot serve (say, the model cannot be loaded).
    """
    process = await _started()
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


async def stream(
    inputs: Any, parameters: dict[str, Any] | None = None, deadline_s: float | None = None
) -> AsyncGenerator[str]:
    """A generated text, without its prompt, piece by piece as it comes. Leave the loop, and generation ends.

    Works where ``infer`` works and raises as it does, also after some pieces.
    """
    process, loop = await _started(), asyncio.get_running_loop()
    pieces: asyncio.Queue[str | None] = asyncio.Queue()

    def say(piece: str | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

    work = _say_tokens(process.service, say, _query(inputs, parameters, deadline_s, stream=True))
    working = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, process.loop))
    try:
        while (piece := await pieces.get()) is not None:
            if piece:
                yield piece
        await working
    except InferenceError:
        _check_failure()
        raise
    finally:
        working.cancel()


async def _say_tokens(service: Service, say: Callable[[str | None], None], query: Query) -> None:
    """All texts, and ``None`` at the end, whatever it is."""
    request = Request(transport=InferenceRequest.Transport.PYTHON, client=None)
    try:
        await service.answer(request, lambda: query, on_token=lambda token: say(token.text))
        if request.generation_result is not None:
            say(request.generation_result.tokens[-1].text)
    finally:
        say(None)


async def _answer(service: Service, inputs: Any, parameters: Any, deadline_s: float | None) -> Any:
    request = Request(transport=InferenceRequest.Transport.PYTHON, client=None)
    outputs = await service.answer(request, lambda: _query(inputs, parameters, deadline_s))
    decoded = [msgspec.json.decode(output) for output in outputs]
    return decoded if request.many else decoded[0]


def _query(inputs: Any, parameters: Any, deadline_s: float | None, *, stream: bool = False) -> Query:
    return Query.of(_plain(inputs), parameters=_plain(parameters), deadline_s=deadline_s, stream=stream)


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


async def _started() -> WebProcess:
    """The running process's, or one on a new thread; meanwhile the caller's loop goes on."""
    if web.current() is None:
        await asyncio.to_thread(_start_somewhere)
    _check_failure()
    process = web.current()
    assert process is not None  # noqa: S101
    return process


def _start_somewhere() -> None:
    """Raises ``CannotServe``; the next call tries again."""
    with _lock:
        if web.current() is not None:
            return
        started: Future[WebProcess] = Future()
        threading.Thread(target=_serve, args=(started,), name="inference", daemon=True).start()
        try:
            process = started.result()
        except Exception as error:
            raise CannotServe(f"This process could not be set up for inference: {error!r}.") from error
        atexit.register(_stop, process)


def _serve(started: Future[WebProcess]) -> None:
    """The life of a thread with a process: until Python ends."""

    async def serve() -> None:
        started.set_result(web.start(_raise_later))
        await asyncio.Event().wait()

    try:
        asyncio.run(serve())
    except Exception as error:
        if started.done():
            raise
        started.set_exception(error)


def _stop(process: WebProcess) -> None:
    """As the process ends: the last rows of the log."""
    asyncio.run_coroutine_threadsafe(process.drain(), process.loop).result(timeout=10)


_failure: list[str] = []


def _check_failure() -> None:
    if _failure:
        raise CannotServe(_failure[0])


def _raise_later(sentence: str) -> None:
    """To whoever asks from now on, and to those who wait."""
    _failure.append(sentence)
    if (process := web.current()) is not None:
        process.dispatcher.fail_all(lambda: Internal(sentence))
