"""What is measured of a server that runs; each figure has the name of its row."""

import asyncio
import time
from collections.abc import Callable
from statistics import median

from tests.benchmarks import proc
from tests.benchmarks.generation import checkpoint
from tests.benchmarks.generation.engines import Engine

TOKENS = 64
PROMPT_TOKENS = 30
MANY, LONG, LONGEST, PEAK = 16, 500, 2_000, 560
OWN = 20
"""Tokens of a prompt after the part that it shares."""
RUNNING, RUNNING_TOKENS, RUNNING_BEFORE = 4, 400, 16

Figures = dict[str, float]
Measurement = Callable[[Engine], Figures]


def started(engine: Engine) -> Figures:
    return {"start to first token, s": engine.start_s, "memory after it, MB": proc.resident_mb(engine.sessions)}


def peak(engine: Engine) -> Figures:
    proc.forget_peaks(engine.sessions)
    asyncio.run(engine.endpoint.read_all([checkpoint.prompt(PEAK) for _ in range(MANY)], TOKENS))
    return {f"peak, {MANY} prompts of {PEAK} tokens, MB": proc.peak_mb(engine.sessions)}


def streams(count: int) -> Measurement:
    def measured(engine: Engine) -> Figures:
        prompts = [checkpoint.prompt(PROMPT_TOKENS) for _ in range(count)]
        cpu_s = sum(proc.cpu_s(engine.sessions))
        began = time.perf_counter()
        read = asyncio.run(engine.endpoint.read_all(prompts, TOKENS))
        seconds = max(stream.times[-1] for stream in read) - began
        cpu_s = sum(proc.cpu_s(engine.sessions)) - cpu_s
        name = f"{count} stream{'s' if count > 1 else ''}"
        return {
            f"{name}, tokens/s": count * TOKENS / seconds,
            f"{name}, first token, ms": 1000 * median(stream.first_s for stream in read),
            f"{name}, CPU s per 1,000 tokens": 1000 * cpu_s / (count * TOKENS),
        }

    return measured


def repeated(engine: Engine) -> Figures:
    prompt = checkpoint.prompt(LONG)
    first, again = (_firsts(engine, [prompt])[0] for _ in range(2))
    name = f"prompt of {LONG}, first token"
    return {f"{name}, ms": first, f"{name}, the same again, ms": again, f"{name}, again / first": again / first}


def shared(engine: Engine) -> Figures:
    prompt = checkpoint.prompt(LONG)
    found = _firsts(engine, [f"{prompt} {checkpoint.prompt(OWN)}" for _ in range(MANY)])
    return {f"{MANY} that share {LONG}, first token, ms": median(found)}


def longest(engine: Engine) -> Figures:
    return {f"prompt of {LONGEST}, first token, ms": _firsts(engine, [checkpoint.prompt(LONGEST)])[0]}


def beside(engine: Engine) -> Figures:
    others = [checkpoint.prompt(PROMPT_TOKENS) for _ in range(RUNNING)]
    prompt = checkpoint.prompt(LONGEST)
    gap, step = asyncio.run(engine.endpoint.read_beside(prompt, others, RUNNING_TOKENS, RUNNING_BEFORE))
    name = f"longest gap of {RUNNING} streams meanwhile"
    return {f"{name}, ms": 1000 * gap, f"{name}, steps": gap / step}


def texts(engine: Engine) -> Figures:
    """How many are those of ``model.generate``; after their end, this model writes on."""
    read = asyncio.run(engine.endpoint.read_all(checkpoint.TEXTS, checkpoint.TEXT_TOKENS))
    right = zip(read, checkpoint.right_answers(), strict=True)
    return {f"texts as of model.generate, of {len(read)}": sum(stream.text.startswith(text) for stream, text in right)}


def _firsts(engine: Engine, prompts: list[str]) -> list[float]:
    """Milliseconds to the first token of each."""
    return [1000 * stream.first_s for stream in asyncio.run(engine.endpoint.read_all(prompts, 1))]


ALL: dict[str, Measurement] = {
    "peak": peak,
    "1": streams(1),
    "4": streams(4),
    "16": streams(16),
    "32": streams(32),
    "repeated": repeated,
    "shared": shared,
    "longest": longest,
    "beside": beside,
    "texts": texts,
}
"""In their order: the peak is that of a server which has done little else."""
QUICK = ("1", "4", "16", "repeated", "shared", "beside")
