"""The server of Hugging Face's pipeline web server guide, both versions, repaired where the published text fails.

Source: https://huggingface.co/docs/transformers/pipeline_webserver. It differs in this:

- ``app.on_event`` is gone from Starlette; a lifespan does its work.
- With dynamic batching, the published loop drops the first request of each batch, and fails on a batch of one
  (``pipe([text])`` returns what ``pipe(text)`` does).

As published, the model runs on the event loop, and the wait for company starts again with each request.
"""

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import torch
import transformers
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

WINDOW_S = 0.001

Job = tuple[str, "asyncio.Queue[tuple[Any, int]]"]


async def homepage(request: Request) -> JSONResponse:
    payload = await request.body()
    answers: asyncio.Queue[tuple[Any, int]] = asyncio.Queue()
    await request.app.state.model_queue.put((payload.decode("utf-8"), answers))
    output, batch_size = await answers.get()
    return JSONResponse(output, headers={"x-batch-size": str(batch_size)})


async def one_by_one(pipe: Any, queue: "asyncio.Queue[Job]") -> None:
    while True:
        text, answers = await queue.get()
        await answers.put((pipe(text), 1))


async def in_batches(pipe: Any, queue: "asyncio.Queue[Job]") -> None:
    while True:
        batch = [await queue.get()]
        while True:
            try:
                batch.append(await asyncio.wait_for(queue.get(), timeout=WINDOW_S))
            except TimeoutError:
                break
        outputs = pipe([text for text, _ in batch], batch_size=len(batch))
        if len(batch) == 1:
            outputs = [outputs]
        for (_, answers), output in zip(batch, outputs, strict=True):
            await answers.put((output, len(batch)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batching", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pipe = transformers.pipeline("fill-mask", model=options.model, dtype=torch.float32)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.model_queue = asyncio.Queue()
        loop = (in_batches if options.batching else one_by_one)(pipe, app.state.model_queue)
        running = asyncio.create_task(loop)
        yield
        running.cancel()

    app = Starlette(routes=[Route("/", homepage, methods=["POST"])], lifespan=lifespan)
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
