"""``transformers.pipeline`` called with one text after the other: what a script without a server gets.

Runs as a process of its own, result as JSON.
"""

import argparse
import json
import sys
import time
from typing import Any

import torch
import transformers

from inference.conf import BUNDLED_MODEL
from tests.benchmarks import proc, texts


def window(pipe: Any, corpus: list[str], first: int, seconds: float) -> dict[str, Any]:
    latencies: list[float] = []
    started, cpu, everything = time.perf_counter(), time.process_time(), proc.machine_cpu_s()
    while (now := time.perf_counter()) - started < seconds:
        pipe(corpus[(first + len(latencies)) % len(corpus)])
        latencies.append((time.perf_counter() - now) * 1000)
    elapsed, own = time.perf_counter() - started, time.process_time() - cpu
    others = (proc.machine_cpu_s() - everything - own) / elapsed
    return {"latencies_ms": latencies, "seconds": elapsed, "server_cpu_s": own, "other_cores": max(0.0, others)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=BUNDLED_MODEL)
    parser.add_argument("--corpus", default="mixed", choices=("mixed", "short"))
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    pipe = transformers.pipeline("fill-mask", model=options.model, dtype=torch.float32)
    corpus = texts.corpus(options.corpus)
    windows = [window(pipe, corpus, 0, 0.5)]
    for _ in range(options.windows):
        first = sum(len(each["latencies_ms"]) for each in windows)
        windows.append(window(pipe, corpus, first, options.seconds))
    json.dump(windows[1:], sys.stdout)


if __name__ == "__main__":
    main()
