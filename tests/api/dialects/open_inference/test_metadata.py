from typing import Any

import pytest

from inference.api.dialects.open_inference.metadata import tensors_of
from inference.tasks import TASKS


@pytest.mark.parametrize(
    ("task", "inputs", "output"),
    [
        ("fill-mask", {"inputs": "str"}, "hg_jsonlist"),
        ("question-answering", {"question": "str", "context": "str"}, "hg_jsonlist"),
        ("text-ranking", {"query": "str", "texts": "str"}, "hg_jsonlist"),
        ("table-question-answering", {"query": "str", "table": "hg_json"}, "hg_jsonlist"),
        ("zero-shot-classification", {"inputs": "str", "candidate_labels": "str"}, "hg_jsonlist"),
        ("image-classification", {"inputs": "base64"}, "hg_jsonlist"),
        ("visual-question-answering", {"image": "base64", "question": "str"}, "hg_jsonlist"),
        ("image-text-to-text", {"inputs": "hg_json"}, "hg_jsonlist"),
        ("text-to-speech", {"inputs": "str"}, "base64"),
    ],
)
def test_the_tensors_of_a_task(task: str, inputs: dict[str, str], output: str):
    tensors: Any = tensors_of(task)
    assert {each["name"]: each["parameters"]["content_type"] for each in tensors["inputs"]} == inputs
    assert {(each["datatype"], *each["shape"]) for each in tensors["inputs"]} == {("BYTES", -1)}
    content = {"parameters": {"content_type": output}}
    assert tensors["outputs"] == [{"name": "output", "datatype": "BYTES", "shape": [-1, 1]} | content]


@pytest.mark.parametrize("task", [name for name, task in TASKS.items() if task.output == "vectors"])
def test_vectors_are_numbers(task: str):
    assert tensors_of(task)["outputs"] == [{"name": "output", "datatype": "FP32", "shape": [-1, -1]}]


def test_nothing_is_known_before_the_task_is():
    assert tensors_of("") == {}
