"""The tensors of a model, by its task."""

from typing import Any

from inference.api.dialects.open_inference.elements import BYTES
from inference.api.dialects.open_inference.tensors import BASE64, JSON, JSON_LIST, OUTPUT, TEXT
from inference.tasks import TASKS
from inference.tasks.base import Task

INPUTS, MEDIA = "inputs", ("image", "audio")


def tensors_of(task: str) -> dict[str, Any]:
    """``inputs`` and ``outputs``; nothing while it is not known which task is served."""
    found = TASKS.get(task)
    return {"inputs": _inputs(found), "outputs": [_output(found)]} if found else {}


def _inputs(task: Task) -> list[dict[str, Any]]:
    """Those that a request needs: fields of the task's example, and parameters that are required."""
    if isinstance(task.example, dict):
        inputs = [_tensor(name, _content_type(task, name, value)) for name, value in task.example.items()]
    else:
        inputs = [_tensor(INPUTS, _content_type(task, INPUTS, task.example))]
    return inputs + [_tensor(name, TEXT) for name, parameter in task.parameters.items() if parameter.required]


def _output(task: Task) -> dict[str, Any]:
    if task.output == "vectors":
        return {"name": OUTPUT, "datatype": "FP32", "shape": [-1, -1]}
    return _tensor(OUTPUT, BASE64 if task.output == "media" else JSON_LIST, [-1, 1])


def _content_type(task: Task, name: str, example: Any) -> str:
    if isinstance(example, list) and all(isinstance(item, str) for item in example):
        return TEXT
    if not isinstance(example, str):
        return JSON
    return BASE64 if name in MEDIA or (task.input.media and name == INPUTS) else TEXT


def _tensor(name: str, content_type: str, shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "datatype": BYTES, "shape": shape or [-1], "parameters": {"content_type": content_type}}
