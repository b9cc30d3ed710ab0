"""Generated text as server-sent events, from an async view of Django."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

from django.http import StreamingHttpResponse

from inference.errors import InferenceError, Internal
from inference.process.on_demand import CannotServe


async def event_stream_response(pieces: AsyncGenerator[str]) -> StreamingHttpResponse:
    """The pieces of ``stream()`` as a response that browsers read with ``EventSource``, each when it is generated.

    A piece is ``data: {"text": …}``. After the last one comes an event ``end``, whose data is ``{}``: ``EventSource``
    would ask again when the response has ended, unless it is closed then. An error after the first piece is an event
    ``error`` with the fields ``error`` and ``error_type``, and the last. If the client leaves, the generation ends.

    Raises:
        InferenceError, CannotServe: there is no first piece; the view decides about the response.
    """
    first, loop = await anext(pieces, None), asyncio.get_running_loop()
    return StreamingHttpResponse(
        _events(first, pieces, loop),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},  # nginx would collect pieces
    )


async def _events(
    first: str | None, pieces: AsyncGenerator[str], loop: asyncio.AbstractEventLoop
) -> AsyncGenerator[bytes]:
    if asyncio.get_running_loop() is not loop:
        raise RuntimeError(
            "The text would end after its first piece: this response must be read on the event loop of its view, so "
            "serve it by ASGI, and test it with AsyncClient."
        )
    try:
        if first is not None:
            yield _event({"text": first})
        async for piece in pieces:
            yield _event({"text": piece})
        yield _event({}, "end")
    except CannotServe as error:
        yield _event({"error": str(error), "error_type": Internal.code}, "error")
    except InferenceError as error:
        yield _event({"error": error.message, "error_type": error.code}, "error")
    finally:
        await pieces.aclose()


def _event(data: dict[str, Any], kind: str = "") -> bytes:
    prefix = f"event: {kind}\n" if kind else ""
    return f"{prefix}data: {json.dumps(data)}\n\n".encode()
