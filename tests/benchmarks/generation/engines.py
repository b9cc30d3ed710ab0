"""The servers in this comparison, how each is started and asked."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import processes
from tests.benchmarks import proc, servers
from tests.benchmarks.generation import checkpoint
from tests.benchmarks.generation.streams import Endpoint
from tests.processes import Process

OURS = ("ours", "ours:INFERENCE_DTYPE=int8")
"""With settings, or of another checkout, as in ``tests.benchmarks.servers``: ``ours:INFERENCE_DTYPE=bfloat16``."""
LLAMA = {"llama-f32": "F32", "llama-q4_1": "Q4_1"}
SERVE = "serve"
ALL = (*OURS, *LLAMA, SERVE)
QUICK = ("ours", "llama-f32")
PATIENT = {"INFERENCE_DEADLINE_S": "600", "INFERENCE_MAX_DEADLINE_S": "600"}
"""Nobody else gives up, so slow first tokens are measured and not refused."""
SLOTS, CONTEXT, BLOCK = 32, 16_384, 32
"""Texts at once, and tokens of all of them: the others reserve the memory at the start."""
AT_REST = 0.1
"""Cores."""


@dataclass(frozen=True)
class Engine:
    """A server that runs."""

    name: str
    endpoint: Endpoint
    sessions: list[int]
    start_s: float
    """From the start of its process to its first token."""

    def settle(self, at_most_s: float = 30.0) -> None:
        """Wait until it is at rest: some write on after their client has left."""
        end = time.monotonic() + at_most_s
        while time.monotonic() < end:
            before, wait_s = sum(proc.cpu_s(self.sessions)), 0.2
            time.sleep(wait_s)
            if sum(proc.cpu_s(self.sessions)) - before < AT_REST * wait_s:
                return


def known(name: str) -> bool:
    return name in ALL or is_ours(name)


def is_ours(name: str) -> bool:
    variant = servers.variant(name)
    return variant is not None and variant.kind == "ours"


@contextmanager
def running(name: str) -> Iterator[Engine]:
    """Start it, wait for its first token, end it."""
    processes.new_database()  # its tables are made once, before the clock runs
    kind = _ours if is_ours(name) else _serve if name == SERVE else _llama
    model = checkpoint.gguf(LLAMA[name]) if name in LLAMA else checkpoint.endless()
    began = time.perf_counter()
    with kind(name, model) as (endpoint, session):
        _first_token(endpoint)
        yield Engine(name, endpoint, [session], time.perf_counter() - began)


def _first_token(endpoint: Endpoint) -> None:
    asyncio.run(endpoint.read_all([checkpoint.prompt(8)], 1))


@contextmanager
def _ours(name: str, model: Path) -> Iterator[tuple[Endpoint, int]]:
    settings = "".join(f":{setting}={value}" for setting, value in PATIENT.items())
    with servers.running(name + settings, str(model)) as target:

        def body(text: str, tokens: int) -> dict[str, Any]:
            return {"inputs": text, "parameters": {"max_new_tokens": tokens, "do_sample": False}, "stream": True}

        yield Endpoint(target.port, "/", body, lambda event: str(event["token"]["text"])), target.sessions[0]


@contextmanager
def _llama(name: str, model: Path) -> Iterator[tuple[Endpoint, int]]:
    port = processes.free_port()
    numbers = [port, SLOTS, CONTEXT, len(os.sched_getaffinity(0))]
    command: list[str | Path] = [
        servers.PEERS_PYTHON,
        "-m",
        "tests.benchmarks.generation.llama_server",
        model,
        *map(str, numbers),
    ]
    process = Process(name, command, {"PATH": os.environ["PATH"], "HOME": str(processes.scratch())})
    with process.runs(lambda: process.wait_for(lambda: _answers(port), "it answers")):

        def body(text: str, tokens: int) -> dict[str, Any]:
            return {"prompt": text, "n_predict": tokens, "temperature": 0, "ignore_eos": True, "stream": True}

        yield Endpoint(port, "/completion", body, lambda event: str(event["content"])), process.pid
        process.kill()


@contextmanager
def _serve(name: str, model: Path) -> Iterator[tuple[Endpoint, int]]:
    port = processes.free_port()
    # Without limits it would reserve most of the machine's memory for its cache.
    limits = ["--cb-block-size", BLOCK, "--cb-num-blocks", CONTEXT // BLOCK, "--cb-max-batch-tokens", 512]
    options = ["--device", "auto", "--dtype", "float32", "--continuous-batching", "--host", "127.0.0.1", "--port", port]
    command: list[str | Path] = [
        servers.PEERS_PYTHON.parent / "transformers",
        "serve",
        model,
        *map(str, options + limits),
    ]
    home = processes.scratch()
    (home / ".cache/huggingface/hub").mkdir(parents=True, exist_ok=True)
    process = Process(name, command, {"PATH": "/usr/bin:/bin", "HOME": str(home)} | servers.PEERS_ENV)
    with process.runs(lambda: process.wait_for(lambda: _answers(port), "it answers")):

        def body(text: str, tokens: int) -> dict[str, Any]:
            fixed = {"model": str(model), "max_tokens": tokens, "temperature": 0, "stream": True}
            return fixed | {"prompt": text}

        yield Endpoint(port, "/v1/completions", body, _text_of_completion), process.pid
        process.kill()


def _text_of_completion(event: dict[str, Any]) -> str:
    return "".join(choice.get("text") or "" for choice in event["choices"])


def _answers(port: int) -> bool:
    return processes.answers(f"http://127.0.0.1:{port}/health")
