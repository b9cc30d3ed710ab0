"""Requests that come from code of this process, on any event loop and thread."""

import asyncio
from collections.abc import Callable

from inference.errors import InferenceError
from inference.process import on_demand
from inference.serving.context import RequestContext
from inference.serving.query import Query
from inference.serving.result import RequestResult


async def answer(context: RequestContext, read: Callable[[], Query]) -> RequestResult:
    """Answered by the web process of this process, which is started where none runs.

    Raises:
        InferenceError: what an HTTP client would be told.
        CannotServe: this process cannot serve.
    """
    process = await on_demand.started()
    work = process.service.answer(context, read)
    try:
        if process.loop is asyncio.get_running_loop():
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, process.loop))
    except InferenceError:
        on_demand.check_failure()  # it may have failed while this call waited
        raise
