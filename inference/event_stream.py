"""Generated text as server-sent events, from an async view of Django."""

import json
from collections.abc import AsyncGenerator
from typing import Any

from django.http import StreamingHttpResponse

from inference.errors import InferenceError


async def event_stream_response(pieces: AsyncGenerator[str]) -> StreamingHttpResponse:
    """The pieces of ``stream()`` as a response that browsers read with ``EventSource``, each when it is generated.

    A piece is ``data: {"text": …}``. After the last one comes an event ``end``, whose data is ``{}``: ``EventSource``
    would ask again when the response has ended, unless it is closed then. An error after the first piece is an event
    ``error`` with the fields ``error`` and ``error_type``, and the last. If the client leaves, the generation ends.

    Raises:
        InferenceError: there is no first piece; the view decides about the response.
    """
    first = await anext(pieces, None)
    return StreamingHttpResponse(
        _events(first, pieces),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},  # nginx would collect pieces
    )


async def _events(first: str | None, pieces: AsyncGenerator[str]) -> AsyncGenerator[bytes]:
    try:
        if first is not None:
            yield _event({"text": first})
        async for piece in pieces:
            yield _event({"text": piece})
        yield _event({}, "end")
    except InferenceError as error:
        yield _event({"error": error.message, "error_type": error.code}, "error")
    finally:
        await pieces.aclose()


def _event(data: dict[str, Any], kind: str = "") -> bytes:
    prefix = f"event: {kind}\n" if kind else ""
    return f"{prefix}data: {json.dumps(data)}\n\n".encode()
