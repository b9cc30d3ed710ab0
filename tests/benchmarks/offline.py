"""This server's own pipeline without the server: what is left when web, dispatch and log are taken away.

    .venv/bin/python -m tests.benchmarks.offline --dtype bfloat16

All texts are there from the start, in order of arrival; a thread for each batch that may run at once takes batch after
batch. Tokenising is included. Runs as a process of its own, result as JSON.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from inference.backends.base import BatchedPipeline
from inference.backends.sizes import computed_tokens
from inference.backends.transformers import backend
from inference.conf import BUNDLED_MODEL, Conf
from inference.messaging.messages import Job
from tests.benchmarks import proc, texts

BATCH_SIZES = (8, 16, 32)
PASSES = 3


class Offline:
    def __init__(self, pipeline: BatchedPipeline, given: Sequence[str]) -> None:
        self._pipeline = pipeline
        self._jobs = [
            Job(id=number, request_id="", input=text, parameters={}, time_left_s=60)
            for number, text in enumerate(given)
        ]

    def once(self, size: int) -> float:
        """All texts, in batches of ``size``; seconds."""
        started = time.perf_counter()
        batches = [self._jobs[first : first + size] for first in range(0, len(self._jobs), size)]
        threads = [
            threading.Thread(target=self._run_batches, args=(batches,))
            for _ in range(self._pipeline.concurrent_batches)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - started

    def padding(self, size: int) -> float:
        """Share of what is computed."""
        prepared: Any = self._pipeline.prepare(self._jobs)
        batches = [prepared[first : first + size] for first in range(0, len(prepared), size)]
        computed = sum(computed_tokens(batch, pads=self._pipeline.pads) for batch in batches)
        return 1 - float(sum(item.tokens for item in prepared)) / computed

    def _run_batches(self, batches: list[list[Job]]) -> None:
        self._pipeline.use_threads(max(1, self._pipeline.description.threads // self._pipeline.concurrent_batches))
        while True:
            try:
                batch = batches.pop()
            except IndexError:
                return
            with _tokenizer:
                prepared = self._pipeline.prepare(batch)
            self._pipeline.run(prepared)


_tokenizer = threading.Lock()
"""One thread at a time, as in the server."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=BUNDLED_MODEL)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--corpus", default="mixed", choices=("mixed", "short"))
    options = parser.parse_args()
    pipeline = backend.load(Conf(model=options.model, dtype=options.dtype), lambda _: None)
    given = texts.corpus(options.corpus)
    offline = Offline(pipeline, given if len(given) > 1 else given * texts.COUNT)
    trials = {size: min(offline.once(size), offline.once(size)) for size in BATCH_SIZES}
    size = min(trials, key=lambda size: trials[size])
    before = time.perf_counter(), time.process_time(), proc.machine_cpu_s()
    seconds = [offline.once(size) for _ in range(PASSES)]
    elapsed, own, everything = (
        now - then
        for now, then in zip((time.perf_counter(), time.process_time(), proc.machine_cpu_s()), before, strict=True)
    )
    count = texts.COUNT
    json.dump(
        {
            "rates": [round(count / each, 1) for each in seconds],
            "rate": count / median(seconds),
            "cpu_ms": own / PASSES / count * 1000,
            "other_cores": max(0.0, (everything - own) / elapsed),
            "batch": size,
            "padding": offline.padding(size),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
