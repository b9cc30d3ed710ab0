"""Answers in the shape that the clients of Hugging Face read, where it is not the pipeline's own.

Most answers are right as they are; of the others, lists are put around their bytes or taken from them.
"""

from typing import Any

import msgspec

from inference.api.dialects.native.answers import Shape, as_it_is
from inference.serving.query import Query
from inference.tasks.base import Task
from inference.tasks.inputs import MediaInput, TextInput


class _ZeroShot(msgspec.Struct):
    labels: list[str]
    scores: list[float | None]


def client_shape(task: Task, query: Query) -> Shape:
    """How the answer to one input is written."""
    match task.output:
        case "labels" if "candidate_labels" in task.parameters:
            return _labelled
        case "labels" if not task.input.media:
            return _list if query.many else _list_of_list
        case "cells":
            return _with_aggregator
        case "text" if isinstance(task.input, TextInput) and query.many:
            return _without_list  # a list of objects, as the pipelines of transformers 4 gave
        case "text" if isinstance(task.input, MediaInput) and query.state.javascript:
            return _without_list
    return as_it_is


def _list(output: bytes) -> bytes:
    return b"[" + output + b"]" if output.startswith(b"{") else output


def _list_of_list(output: bytes) -> bytes:
    return b"[" + _list(output) + b"]"


def _without_list(output: bytes) -> bytes:
    return output[1:-1] if output.startswith(b"[") else output


def _labelled(output: bytes) -> bytes:
    """Objects for labels, in the place of one with all labels and all scores."""
    if output.startswith(b"["):
        return output
    answer = msgspec.json.decode(output, type=_ZeroShot)
    pairs = zip(answer.labels, answer.scores, strict=True)
    return msgspec.json.encode([{"label": label, "score": score} for label, score in pairs])


def _with_aggregator(output: bytes) -> bytes:
    """What is to be computed of the cells: nothing, if the model does not say it."""
    answer: Any = msgspec.json.decode(output)
    if not isinstance(answer, dict) or "aggregator" in answer:
        return output
    return msgspec.json.encode(answer | {"aggregator": "NONE"})
