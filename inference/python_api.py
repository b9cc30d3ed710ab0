"""``infer``, ``infer_sync`` and ``stream``: for other Python code, with the same service as HTTP and WebSocket."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any

import msgspec

from inference.errors import InferenceError, Invalid
from inference.messaging.messages import Token
from inference.models import InferenceRequest
from inference.process import calls, on_demand
from inference.process.on_demand import CannotServe
from inference.serving.context import RequestContext
from inference.serving.generation_result import GenerationResult
from inference.serving.progress import Progress
from inference.serving.query import Query
from inference.serving.result import Output
from inference.serving.service import Service
from inference.tasks.media import Media

__all__ = ["CannotServe", "infer", "infer_sync", "stream"]


async def infer(
    inputs: Any,
    parameters: dict[str, Any] | None = None,
    deadline_s: float | None = None,
    pipeline: str | None = None,
) -> Any:
    """What the pipeline returns for a text, or for each text of a list.

    May be awaited on any event loop and thread. In a process that serves nothing, the first call starts what is
    needed on a thread of its own.

    Args:
        pipeline: its name or an alias; by default the pipeline that ``POST /`` reaches.

    Raises:
        InferenceError: what an HTTP client would be told.
        CannotServe: this process cannot serve (say, the model cannot be loaded).
    """
    result = await calls.answer(_context(), lambda: _query(inputs, parameters, deadline_s, pipeline))
    decoded = [_decoded(output) for output in result.outputs]
    return decoded if result.query.many else decoded[0]


def infer_sync(
    inputs: Any,
    parameters: dict[str, Any] | None = None,
    deadline_s: float | None = None,
    pipeline: str | None = None,
) -> Any:
    """``infer`` for code without an event loop. Raises as ``infer`` does, and ``RuntimeError`` on a running loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(infer(inputs, parameters, deadline_s, pipeline))
    raise RuntimeError("infer_sync() would block the running event loop; use `await infer()`.")


async def stream(
    inputs: Any,
    parameters: dict[str, Any] | None = None,
    deadline_s: float | None = None,
    pipeline: str | None = None,
) -> AsyncGenerator[str]:
    """A generated text, without its prompt, piece by piece. Leaving the loop ends the generation.

    Works where ``infer`` works and raises as it does, also after some pieces.
    """
    process, loop = await on_demand.started(), asyncio.get_running_loop()
    pieces: asyncio.Queue[str | None] = asyncio.Queue()

    def put(piece: str | None) -> None:
        with suppress(RuntimeError):  # the caller's loop is closed
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

    work = _generate(process.service, put, lambda: _query(inputs, parameters, deadline_s, pipeline, stream=True))
    working = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, process.loop))
    try:
        while (piece := await pieces.get()) is not None:
            if piece:
                yield piece
        await working
    except InferenceError:
        on_demand.check_failure()
        raise
    finally:
        working.cancel()


class _Pieces(Progress):
    def __init__(self, put: Callable[[str | None], None]) -> None:
        self._put = put

    def token(self, token: Token, generation: GenerationResult) -> None:
        self._put(token.text)


async def _generate(service: Service, put: Callable[[str | None], None], read: Callable[[], Query]) -> None:
    """Put all texts, and ``None`` at the end, also after an error."""
    try:
        result = await service.answer(_context(), read, _Pieces(put))
        if result.generation is not None:
            put(result.generation.tokens[-1].text)
    finally:
        put(None)


def _decoded(output: Output) -> Any:
    if isinstance(output, bytes):
        return msgspec.json.decode(output)
    return output.data if isinstance(output, Media) else output.tolist()


def _context() -> RequestContext:
    return RequestContext(transport=InferenceRequest.Transport.PYTHON)


def _query(inputs: Any, parameters: Any, deadline_s: float | None, pipeline: str | None, **fields: Any) -> Query:
    return Query.of(_plain(inputs), parameters=_plain(parameters), deadline_s=deadline_s, pipeline=pipeline, **fields)


def _plain(value: Any) -> Any:
    """As JSON would have it: Python callers also pass tuples, and texts that Django marked safe.

    Raises:
        Invalid: it cannot be written as JSON.
    """
    try:
        return msgspec.json.decode(msgspec.json.encode(value, enc_hook=_plain_text))
    except (TypeError, ValueError) as error:
        raise Invalid(f"inputs and parameters must be plain JSON values: {error}.") from None


def _plain_text(value: Any) -> str:
    if isinstance(value, str):
        return "".join(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
