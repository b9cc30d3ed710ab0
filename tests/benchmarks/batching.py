"""``python -m tests.benchmarks.batching``: what batching gains, task by task.

Each task has a server of its own with a model of ordinary size and random weights. The same requests are sent one by
one and sixteen at once, by turns; the ratio of the two times is what a batch is worth here.
"""

import argparse
import asyncio
import base64
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from statistics import median
from typing import Any

import httpx

from tests import processes
from tests.benchmarks import models, task_models
from tests.benchmarks.report import say
from tests.benchmarks.texts import mixed

AT_ONCE, ROUNDS = 16, 3
ENVIRONMENT = {"INFERENCE_LOG_INPUTS": "none"}

Make = Callable[[Sequence[str], random.Random], tuple[Any, dict[str, Any]]]
"""An input and its parameters, of texts."""


def question(texts: Sequence[str], chance: random.Random) -> tuple[Any, dict[str, Any]]:
    return {"question": chance.choice(texts)[:40], "context": " ".join(chance.sample(texts, 3))}, {}


def ranking(texts: Sequence[str], chance: random.Random) -> tuple[Any, dict[str, Any]]:
    return {"query": chance.choice(texts), "texts": chance.sample(texts, 4)}, {}


def generated(texts: Sequence[str], chance: random.Random) -> tuple[Any, dict[str, Any]]:
    return " ".join(chance.sample(texts, 2)), {"max_new_tokens": 24, "num_beams": 1}


def picture(texts: Sequence[str], chance: random.Random) -> tuple[Any, dict[str, Any]]:
    return base64.b64encode(task_models.jpeg(chance.randrange(1000))).decode(), {}


def recording(texts: Sequence[str], chance: random.Random) -> tuple[Any, dict[str, Any]]:
    return base64.b64encode(task_models.wav(chance.randrange(1000), seconds=4)).decode(), {}


TASKS: dict[str, tuple[str, str, Make]] = {
    "question-answering": ("question-answering", "bert_of_questions", question),
    "text-ranking": ("text-ranking", "cross_encoder", ranking),
    "summarization": ("summarization", "t5_small", generated),
    "translation": ("translation", "marian", generated),
    "image-classification, ViT": ("image-classification", "vit_small", picture),
    "image-classification, EfficientNet": ("image-classification", "efficientnet", picture),
    "speech, Wav2Vec2": ("automatic-speech-recognition", "wav2vec2", recording),
    "audio-classification": ("audio-classification", "audio_spectrogram", recording),
}
"""Task, the function of ``task_models`` that makes its model, and what is asked."""


async def answer_all(url: str, requests: Sequence[bytes], at_once: int) -> float:
    """Seconds until all are answered, with so many under way at any time."""
    waiting = iter(requests)
    async with httpx.AsyncClient(trust_env=False, timeout=300) as client:

        async def ask() -> None:
            for body in waiting:
                reply = await client.post(url, content=body, headers={"content-type": "application/json"})
                assert reply.status_code == 200, reply.text

        began = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(at_once)))
        return time.perf_counter() - began


def measure(name: str) -> str:
    task, kind, make = TASKS[name]
    folder = models.made(models.CACHE / kind, kind, "tests.benchmarks.task_models")
    chance, texts = random.Random(5), [text.replace(" [MASK]", "") for text in mixed() if len(text) < 120]
    bodies = [make(texts, chance) for _ in range(AT_ONCE)]
    requests = [json.dumps({"inputs": given, "parameters": parameters}).encode() for given, parameters in bodies]
    env = {"INFERENCE_MODEL": str(folder), "INFERENCE_TASK": task, **ENVIRONMENT}
    one_by_one, together = [], []
    with processes.web(env=env) as server:
        for number in range(ROUNDS + 1):
            alone_s = asyncio.run(answer_all(server.url, requests, 1))
            together_s = asyncio.run(answer_all(server.url, requests, AT_ONCE))
            if number:  # the first round warms up
                one_by_one.append(alone_s)
                together.append(together_s)
    ratio = median(a / b for a, b in zip(one_by_one, together, strict=True))
    each = [AT_ONCE / median(times) for times in (one_by_one, together)]
    return f"{name:36} {each[0]:8.1f}/s one by one {each[1]:8.1f}/s {AT_ONCE} at once   {ratio:.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.batching", description=__doc__)
    parser.add_argument("--only", help=f"some of {', '.join(TASKS)}, separated by semicolons")
    options = parser.parse_args()
    chosen = [name.strip() for name in options.only.split(";")] if options.only else list(TASKS)
    with suppress(KeyboardInterrupt):
        for name in chosen:
            say(measure(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
