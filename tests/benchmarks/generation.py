"""``make bench BENCH="--only generation"``: streamed text generation, beside what users would run instead.

Total tokens per second and time to the first token, with 1, 8, 16 and 32 streams at once:

- ``ours``: this server, embedded, server-sent events;
- ``serve``: ``transformers serve --continuous-batching`` on the same model, server-sent events too;
- ``generate``: ``model.generate``, one prompt after the other;
- ``static``: ``model.generate`` on batches of so many prompts, all known at once; nobody gets a token before the end.

``serve`` and the last two run where ours does: on a GPU if there is one.

The model has Llama's shape with 6 layers of 512 and random weights, float32; every text gets exactly 64 tokens.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from tests import processes
from tests.benchmarks import models
from tests.benchmarks.servers import PEERS_ENV, PEERS_PYTHON
from tests.processes import ROOT, Process

STREAMS = (1, 8, 16, 32)
TOKENS = 64
MODEL = models.CACHE / "llama-6x512-random"
PROMPT = "once upon a time there was a small boat on the old river, and number {} of them went on and on"
KINDS = ("ours", "serve", "generate", "static")


@dataclass(frozen=True)
class Figures:
    """Of one kind with so many streams."""

    tokens_per_s: float
    first_ms: float
    """Median of the times to the first token; of what does not stream, to the end."""


def prompts(count: int) -> list[str]:
    return [PROMPT.format(number) for number in range(count)]


async def _stream(port: int, path: str, body: dict[str, Any]) -> tuple[float, float, int]:
    """When the first and the last token came, and how many. A plain client: the server has the rest of the machine."""
    content = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}connection: close\r\ncontent-length: {len(content)}\r\n\r\n".encode() + content)
    first = last = 0.0
    count = 0
    async for line in reader:
        if not line.startswith(b"data:") or b"[DONE]" in line:
            continue
        if b'"error"' in line:
            raise AssertionError(line.decode())
        last = time.perf_counter()
        first = first or last
        count += 1
    writer.close()
    return first, last, count


async def _streams(port: int, path: str, bodies: Sequence[dict[str, Any]]) -> Figures:
    began = time.perf_counter()
    made = await asyncio.gather(*(_stream(port, path, body) for body in bodies))
    few = [count for *_, count in made if count < TOKENS / 2]
    assert not few, f"streams of {few} events"
    seconds = max(last for _, last, _ in made) - began
    return Figures(len(bodies) * TOKENS / seconds, 1000 * median(first - began for first, *_ in made))


@contextmanager
def _ours(model: Path) -> Iterator[tuple[int, str, Any]]:
    with processes.web(env={"INFERENCE_MODEL": str(model)}) as web:
        greedy = {"max_new_tokens": TOKENS, "do_sample": False}
        yield web.port, "/", lambda text: {"inputs": text, "parameters": greedy, "stream": True}
        web.kill()


@contextmanager
def _serve(model: Path) -> Iterator[tuple[int, str, Any]]:
    port = processes.free_port()
    # Without limits it would reserve most of the machine's memory for its cache.
    limits = ["--cb-block-size", "32", "--cb-num-blocks", "512", "--cb-max-batch-tokens", "512"]
    command: list[str | Path] = [
        PEERS_PYTHON.parent / "transformers",
        "serve",
        model,
        "--device",
        "auto",
        "--continuous-batching",
    ]
    home = processes.scratch()
    (home / ".cache/huggingface/hub").mkdir(parents=True, exist_ok=True)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home)} | PEERS_ENV
    process = Process("serve", [*command, "--host", "127.0.0.1", "--port", str(port), *limits], environment)

    def answers() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False, timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    with process.runs(lambda: process.wait_for(answers, "it answers")):
        fixed = {"model": str(model), "max_tokens": TOKENS, "temperature": 0, "stream": True}
        yield port, "/v1/completions", lambda text: fixed | {"prompt": text}
        process.kill()


def _served(kind: str, model: Path, rounds: int) -> dict[int, Figures]:
    with (_ours if kind == "ours" else _serve)(model) as (port, path, body):
        asyncio.run(_streams(port, path, [body(text) for text in prompts(2)]))
        best: dict[int, Figures] = {}
        for streams in STREAMS:
            runs = [asyncio.run(_streams(port, path, [body(t) for t in prompts(streams)])) for _ in range(rounds)]
            best[streams] = max(runs, key=lambda figures: figures.tokens_per_s)
        return best


def _direct(kind: str, model: Path, rounds: int) -> dict[int, Figures]:
    """In a process of its own, which has nothing but the model."""
    command = [sys.executable, "-m", "tests.benchmarks.generation", kind, str(model), str(rounds)]
    environment = os.environ | {"GOMP_SPINCOUNT": "1000"}  # as ours: on a busy machine, spinning costs a factor of ten
    output = subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=600, stdout=subprocess.PIPE).stdout
    return {int(streams): Figures(*figures) for streams, figures in json.loads(output).items()}


def measured(kinds: Sequence[str] = KINDS, rounds: int = 3) -> dict[str, dict[int, Figures]]:
    """By kind and number of streams, the best of so many rounds."""
    model = models.made(MODEL, "llama")
    return {kind: (_served if kind in ("ours", "serve") else _direct)(kind, model, rounds) for kind in kinds}


def lines(figures: dict[str, dict[int, Figures]]) -> Iterator[str]:
    """A table."""
    yield f"{'tokens/s (ms to the first)':28}" + "".join(f"{f'{streams} streams':>18}" for streams in STREAMS)
    for kind, by_streams in figures.items():
        cells = (f"{by_streams[n].tokens_per_s:.0f} ({by_streams[n].first_ms:.0f})" for n in STREAMS if n in by_streams)
        yield f"{kind:28}" + "".join(f"{cell:>18}" for cell in cells)


def _generate(kind: str, folder: str, rounds: int) -> dict[int, tuple[float, float]]:
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    transformers.utils.logging.disable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).to(device)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side="left")
    tokenizer.pad_token_id = 0

    def seconds(texts: list[str]) -> float:
        began = time.perf_counter()
        inputs = tokenizer(texts, return_tensors="pt", padding=True).to(device)
        model.generate(**inputs, do_sample=False, max_new_tokens=TOKENS).tolist()  # waits for a GPU
        return time.perf_counter() - began

    with torch.inference_mode():
        seconds(prompts(1))
        if kind == "generate":  # the second one waits for the first: n streams have the speed of one
            taken = min(seconds(prompts(1)) for _ in range(rounds))
            return {n: (TOKENS / taken, 1000 * taken * (n + 1) / 2) for n in STREAMS}
        best = {n: min(seconds(prompts(n)) for _ in range(rounds)) for n in STREAMS}
        return {n: (n * TOKENS / taken, 1000 * taken) for n, taken in best.items()}


if __name__ == "__main__":
    print(json.dumps(_generate(sys.argv[1], sys.argv[2], int(sys.argv[3]))))  # noqa: T201
