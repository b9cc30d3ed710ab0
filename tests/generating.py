"""Causal language models, driven step by step as a worker does, and compared with ``generate``.

``python -m tests.generating`` compares 200 prompts on each architecture.
"""

import argparse
import math
import random
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

from inference.backends.base import Generated, generated
from inference.backends.transformers.generation.generator import Generator
from inference.backends.transformers.generation.self_check import continuous
from inference.backends.transformers.generation.text import Text
from inference.backends.transformers.loading import load_pipeline
from inference.conf import Conf
from inference.errors import InferenceError
from inference.messaging.messages import Job
from tests import tiny_models

ARCHITECTURES = ("text_generation", "llama", "mistral", "opt", "gpt_neox", "qwen")
WORDS = ["once", "upon", "a", "time", "there", "was", "small", "boat", "on", "the", "old", "river"]
NEAR_TIE = 1e-4
ADJUSTED: list[dict[str, Any]] = [
    {"frequency_penalty": -2.0, "max_new_tokens": 20},
    {"presence_penalty": -1.5, "max_new_tokens": 15},
    {"logit_bias": {"17": 9, "200": -100}, "frequency_penalty": 1.5, "presence_penalty": 0.3, "max_new_tokens": 20},
    {"logit_bias": {"17": 6, "200": -100}, "presence_penalty": 2, "max_new_tokens": 15},
    {"max_new_tokens": 15},
    {"min_new_tokens": 10, "logit_bias": {"0": 100}, "max_new_tokens": 15},
]
"""Parameters with which scores are adjusted."""
GREEDY = {"do_sample": False, "max_new_tokens": 12, "seed": 0}


def generator(folder: Path, report: Callable[[str], None] = lambda progress: None, **options: Any) -> Generator:
    loaded = load_pipeline(Conf(model=str(folder), threads=1, **options), lambda progress: None)
    made = continuous(loaded, Conf(**options), report)
    assert made is not None, "it fell back"
    return made


def job(text: Any = "once upon a time", number: int = 0, resume: Sequence[int] = (), **parameters: Any) -> Job:
    return Job(
        id=number,
        request_id=f"r{number}",
        input=text,
        parameters=GREEDY | parameters,
        time_left_s=60,
        events=True,
        tokens=True,
        resume=tuple(resume),
    )


def one(made: Generator, wanted: Job) -> Text:
    (text,) = made.prepare([wanted])
    if isinstance(text, InferenceError):
        raise text
    return text


@dataclass
class Course:
    """The steps of one generated text."""

    made: list[Generated] = field(default_factory=list)

    @property
    def tokens(self) -> list[int]:
        return [step.token for step in self.made]

    @property
    def text(self) -> str:
        return "".join(step.text for step in self.made)

    @property
    def last(self) -> Generated:
        return self.made[-1]


def finish(made: Generator, texts: Iterable[Text], joins: random.Random | None = None) -> list[Course]:
    """Generate to the end; with ``joins``, texts join the running ones at random times, at most 12 at once."""
    coming = list(texts)
    courses = {text: Course() for text in coming}
    running: list[Text] = []
    while coming or running:
        while coming and (joins is None or (len(running) < 12 and joins.random() < 0.4)):
            running.append(coming.pop(0))
        made.retain(running)
        for text, outcome in zip(list(running), made.step(running) if running else (), strict=True):
            if isinstance(outcome, InferenceError):
                raise outcome
            courses[text].made += generated(outcome)
            if outcome is not None and courses[text].last.finish_reason:
                running.remove(text)
    made.retain(())
    return list(courses.values())


@torch.inference_mode()
def differs(model: Any, prompt: Sequence[int], tokens: Sequence[int], limit: int) -> str:
    """How ``tokens`` differ from what ``generate`` makes of a prompt: ``""``, ``near tie`` or ``wrong``."""
    ids = torch.tensor([list(prompt)])
    wanted = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=limit)
    expected = wanted[0, len(prompt) :].tolist()
    if expected == list(tokens):
        return ""
    same = next(n for n in range(limit) if list(tokens[: n + 1]) != expected[: n + 1])
    best = model(wanted[:, : len(prompt) + same]).logits[0, -1].topk(2).values
    return "near tie" if best[0] - best[1] < NEAR_TIE else "wrong"


@torch.inference_mode()
def greedily(model: Any, prompt: Sequence[int], asked: dict[str, Any]) -> list[int]:
    """What a plain loop makes of a prompt with parameters like those of ``ADJUSTED``; token 0 is the end."""
    made: list[int] = []
    while len(made) < asked["max_new_tokens"] and 0 not in made:
        scores = model(torch.tensor([[*prompt, *made]])).logits[0, -1].tolist()
        for token in set(made):
            scores[token] -= made.count(token) * asked.get("frequency_penalty", 0) + asked.get("presence_penalty", 0)
        for token, bias in asked.get("logit_bias", {}).items():
            scores[int(token)] += bias
        if len(made) < asked.get("min_new_tokens", 0):
            scores[0] = -math.inf
        made.append(max(range(len(scores)), key=scores.__getitem__))
    return made


def compare(folder: Path, prompts: int, seed: int) -> dict[str, int]:
    """Generate from prompts of mixed length, some with the same beginning, that join at random times.

    Counts them by ``differs``.
    """
    made, chance = generator(folder), random.Random(seed)
    room = made.description.longest_input
    shared = " ".join(chance.choices(WORDS, k=40))
    texts = []
    for number in range(prompts):
        limit = chance.randint(1, min(40, room // 2))
        words = " ".join(chance.choices(WORDS, k=chance.choice((1, 3, 8, 40, 70)[: 2 if room < 100 else 5])))
        if room >= 200 and chance.random() < 0.4:  # tokens of its beginning come from the prefix cache
            words = f"{shared} {words}"
        texts.append(one(made, job(words, number, max_new_tokens=limit)))
    courses = finish(made, texts, chance)
    stock = transformers.AutoModelForCausalLM.from_pretrained(folder)
    counted = {"": 0, "near tie": 0, "wrong": 0}
    for text, course in zip(texts, courses, strict=True):
        prompt = text.ids[: text.prompt_tokens]
        counted[differs(stock, prompt, course.tokens, text.stop_conditions.new_tokens)] += 1
    return counted


def main() -> None:
    arguments = argparse.ArgumentParser(description=compare.__doc__)
    arguments.add_argument("--prompts", type=int, default=200)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    transformers.utils.logging.disable_progress_bar()
    for name in ARCHITECTURES:
        with tempfile.TemporaryDirectory() as folder:
            counted = compare(getattr(tiny_models, name)(Path(folder)), given.prompts, given.seed)
        print(f"{name:16} equal {counted['']:4}  near ties {counted['near tie']:3}  wrong {counted['wrong']:3}")  # noqa: T201


if __name__ == "__main__":
    main()
