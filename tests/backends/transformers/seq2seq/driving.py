"""Encoder-decoder models, driven step by step as a worker does."""

import copy
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.loading import load_pipeline
from inference.backends.transformers.seq2seq.generator import Seq2SeqGenerator
from inference.backends.transformers.seq2seq.self_check import continuous
from inference.backends.transformers.seq2seq.text import EncodedText
from inference.conf import Conf
from inference.errors import InferenceError
from inference.messaging.messages import Job
from tests.generating import Course

NORMALIZER = "ignore:Recommended. pip install sacremoses"
"""Marian's tokenizer says so; it makes a difference for unusual punctuation only."""
GREEDY: dict[str, Any] = {"do_sample": False, "num_beams": 1, "max_new_tokens": 12}


def loaded(folder: Path, **options: Any) -> Loaded:
    return load_pipeline(Conf(model=str(folder), threads=1, **options), lambda progress: None)


def generator(folder: Path, **options: Any) -> Seq2SeqGenerator:
    made = continuous(loaded(folder, **options), Conf(**options), lambda progress: None)
    assert made is not None, "it fell back"
    return made


def job(text: str = "once upon a time", number: int = 0, resume: Sequence[int] = (), **parameters: Any) -> Job:
    """Greedy, unless the parameters say otherwise; one that is ``None`` is not sent."""
    given = {name: value for name, value in (GREEDY | parameters).items() if value is not None}
    return Job(id=number, request_id=f"r{number}", input=text, parameters=given, time_left_s=60, resume=tuple(resume))


def one(made: Any, wanted: Job) -> Any:
    (text,) = made.prepare([wanted])
    if isinstance(text, InferenceError):
        raise text
    return text


def finish(made: Seq2SeqGenerator, texts: Iterable[EncodedText], chance: random.Random | None = None) -> list[Course]:
    """Generate to the end; with ``chance``, texts join the running ones at random times, and some steps are only for
    some of them.
    """
    coming = list(texts)
    courses = {text: Course() for text in coming}
    running: list[EncodedText] = []
    while coming or running:
        while coming and (chance is None or (len(running) < 12 and chance.random() < 0.4)):
            running.append(coming.pop(0))
        made.retain(running)
        part = running
        if chance and len(running) > 1 and chance.random() < 0.1:
            part = chance.sample(running, chance.randrange(1, len(running)))
        for text, outcome in zip(list(part), made.step(part) if part else (), strict=True):
            if isinstance(outcome, InferenceError):
                raise outcome
            if outcome is not None:
                courses[text].made.append(outcome)
                if outcome.finish_reason:
                    running.remove(text)
    made.retain(())
    return list(courses.values())


@torch.inference_mode()
def expected(stock: Any, text: EncodedText, tokenizer: Any = None) -> list[int]:
    """What ``generate`` makes of it, without padding; with stop strings, it needs a tokenizer."""
    ids = torch.tensor([text.source])
    config = copy.deepcopy(text.config)
    config.stop_strings = list(text.stop_conditions.stop) or None
    tokens = stock.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config, tokenizer=tokenizer
    )
    made: list[int] = tokens[0].tolist()
    while made[-1] == text.config.pad_token_id and made[-2] in (made[-1], text.config.eos_token_id):
        made.pop()
    return made


def stock_model(folder: Path) -> Any:
    return transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)
