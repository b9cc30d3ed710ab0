"""Answers of the fake pipeline where a test gives none, of the form that the task's answers have."""

import base64
from collections.abc import Callable
from typing import Any

from inference import tasks
from inference.errors import Invalid
from inference.messaging.messages import Description
from inference.tasks.media import EXAMPLE_IMAGE, EXAMPLE_RECORDING, Media

Answer = Callable[[Any, dict[str, Any]], Any]
WORD = "word"
LABEL = "LABEL_0"
CRITERIA = {"choice": "an object with an option for each answer", "score": "a list of levels"}


def default_answer(description: Description) -> Answer:
    """By the task's output kind. Raises ``ValueError`` for an unknown task."""
    task = tasks.find(description.task)
    if task is None:
        raise ValueError(f"There is no task {description.task!r}; it must be one of {', '.join(tasks.TASKS)}.")

    def fill_mask(text: str, _: dict[str, Any]) -> Any:
        before, mask, after = text.partition(description.mask_token)
        filled = [{"score": 1.0, "token": 0, "token_str": WORD, "sequence": before + WORD + after}]
        masks = 1 + after.count(mask)
        return filled if masks == 1 else [filled] * masks

    by_output: dict[str, Answer] = {
        "fills": fill_mask,
        "labels": _labels,
        "spans": _spans,
        "vectors": _vectors,
        "scores": lambda given, _: [1.0],
        "transcript": _transcript,
        "media": lambda given, _: Media(base64.b64decode(EXAMPLE_RECORDING), "audio/wav"),
        "ranking": _ranking,
        "decisions": _decisions,
        "text": lambda given, _: " and so on." if description.streams else [{"generated_text": "and so on."}],
        "answers": _answers,
        "cells": _cells,
        "boxes": lambda given, _: [{"score": 1.0, "label": LABEL, "box": {"xmin": 0, "ymin": 0, "xmax": 1, "ymax": 1}}],
        "masks": lambda given, _: [{"score": 1.0, "label": LABEL, "mask": EXAMPLE_IMAGE}],
        "depth": lambda given, _: {"depth": EXAMPLE_IMAGE, "min_depth": 0.0, "max_depth": 1.0},
    }
    return by_output[task.output]


def _labels(text: str | bytes, parameters: dict[str, Any]) -> Any:
    if candidates := parameters.get("candidate_labels"):
        if isinstance(text, bytes):
            return [{"score": float(not index), "label": label} for index, label in enumerate(candidates)]
        return {"sequence": text, "labels": candidates, "scores": [1.0, *(0.0 for _ in candidates[1:])]}
    return [{"label": LABEL, "score": 1.0}]


def _transcript(recording: bytes, parameters: dict[str, Any]) -> Any:
    chunks = {"chunks": [{"text": WORD, "timestamp": [0.0, 1.0]}]} if parameters.get("return_timestamps") else {}
    return {"text": WORD} | chunks


def _spans(text: str, parameters: dict[str, Any]) -> Any:
    word = text.split()[0]
    start = text.index(word)
    name = {"entity": LABEL, "index": 1}
    if parameters.get("aggregation_strategy", "none") != "none":
        name = {"entity_group": LABEL}
    return [{**name, "score": 1.0, "word": word, "start": start, "end": start + len(word)}]


def _vectors(text: str | bytes, parameters: dict[str, Any]) -> Any:
    vector = [1.0, 0.0, 0.0]
    if isinstance(text, bytes):
        return [vector] if parameters.get("pool") else [[vector]]
    return vector if parameters.get("pooling", "none") != "none" else [[vector]]


def _ranking(given: Any, parameters: dict[str, Any]) -> Any:
    texts = enumerate(given["texts"])
    ranking = [
        {"index": index, "score": 1.0} | ({"text": text} if parameters.get("return_text") else {})
        for index, text in texts
    ]
    return ranking[: parameters.get("top_n")]


def _decisions(given: dict[str, Any], parameters: dict[str, Any]) -> Any:
    """The first option of each question."""
    return {name: _decision(question) for name, question in given["questions"].items()}


def _decision(question: dict[str, Any]) -> Any:
    if question["type"] == "noul":
        return {"type": "noul", "noul": 1.0}
    criteria, kind = question.get("criteria"), dict if question["type"] == "choice" else list
    if not criteria or not isinstance(criteria, kind):
        raise Invalid(f"A {question['type']} question needs criteria: {CRITERIA[question['type']]}.")
    options = list(criteria) if question["type"] == "choice" else [str(level) for level in range(len(criteria))]
    probabilities = {option: float(number == 0) for number, option in enumerate(options)}
    if question["type"] == "choice":
        return {"type": "choice", "choice": options[0], "confidence": 1.0, "probabilities": probabilities}
    legend = dict(zip(options, criteria, strict=True))
    return {"type": "score", "score": 0.0, "legend": legend, "confidence": 1.0, "probabilities": probabilities}


def _answers(given: Any, parameters: dict[str, Any]) -> Any:
    if "image" in given:
        return [{"score": 1.0, "answer": WORD}]
    if "context" not in given:  # of a page, where the numbers are those of words
        return [{"score": 1.0, "answer": WORD, "start": 0, "end": 0}]
    word = given["context"].split()[0]
    start = given["context"].index(word)
    answer = {"score": 1.0, "start": start, "end": start + len(word), "answer": word}
    return answer if parameters.get("top_k", 1) == 1 else [answer]


def _cells(given: Any, parameters: dict[str, Any]) -> Any:
    cell = next(iter(given["table"].values()))[0]
    return {"answer": cell, "coordinates": [[0, 0]], "cells": [cell]}
