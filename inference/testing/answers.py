"""Answers of the fake pipeline where a test gives none, of the form that the task's answers have."""

from collections.abc import Callable
from typing import Any

from inference import tasks
from inference.messaging.messages import Description

Answer = Callable[[Any, dict[str, Any]], Any]
WORD = "word"
LABEL = "LABEL_0"


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
        "text": lambda given, _: " and so on.",
        "transcript": _transcript,
    }
    return by_output[task.output]


def _labels(text: str, parameters: dict[str, Any]) -> Any:
    if candidates := parameters.get("candidate_labels"):
        return {"sequence": text, "labels": candidates, "scores": [1.0, *(0.0 for _ in candidates[1:])]}
    return [{"label": LABEL, "score": 1.0}]


def _transcript(recording: bytes, parameters: dict[str, Any]) -> Any:
    chunks = {"chunks": [{"text": WORD, "timestamp": [0.0, 1.0]}]} if parameters.get("return_timestamps") else {}
    return {"text": WORD} | chunks


def _spans(text: str, parameters: dict[str, Any]) -> Any:
    word = text.split()[0]
    start = text.index(word)
    return [{"entity": LABEL, "score": 1.0, "index": 1, "word": word, "start": start, "end": start + len(word)}]


def _vectors(text: str, parameters: dict[str, Any]) -> Any:
    vector = [1.0, 0.0, 0.0]
    return vector if parameters.get("pooling", "none") != "none" else [[vector]]
