"""LitServe around the same pipeline.

A worker of one thread for each core is its best: on two cores 56 mixed texts per second, one worker of two threads 29.
"""

import argparse
import os
from typing import Any

import litserve
import torch
import transformers

BATCH_TIMEOUT_S = 0.005


class FillMask(litserve.LitAPI):  # type: ignore[misc]
    """``predict`` gets one text, or a list of them if batches are allowed."""

    def __init__(self, model: str, threads: int, max_batch_size: int) -> None:
        super().__init__(max_batch_size=max_batch_size, batch_timeout=BATCH_TIMEOUT_S if max_batch_size > 1 else 0.0)
        self._model = model
        self._threads = threads

    def setup(self, device: str) -> None:
        torch.set_num_threads(self._threads)
        self._pipe: Any = transformers.pipeline("fill-mask", model=self._model, device=device, dtype=torch.float32)

    def decode_request(self, request: dict[str, str]) -> str:
        return request["inputs"]

    def predict(self, x: Any) -> Any:
        if isinstance(x, str):
            return self._pipe(x)
        outputs = self._pipe(x, batch_size=len(x))
        return outputs if len(x) > 1 else [outputs]

    def encode_response(self, output: Any) -> Any:
        return output


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--max-batch-size", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    api = FillMask(options.model, options.threads, options.max_batch_size)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=options.workers, timeout=120)
    server.run(host="127.0.0.1", port=options.port, log_level="warning", generate_client_file=False, access_log=False)


if __name__ == "__main__":
    main()
