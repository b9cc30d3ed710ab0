"""The registry: a file is enough to add a task, and nothing else names one."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

import inference
from inference import tasks
from inference.catalog.reading import RESERVED
from inference.errors import Invalid
from inference.serving.validation import validate_inputs, validate_parameters
from inference.tasks.base import Task
from inference.tasks.inputs import TextInput
from inference.tasks.parameters import Flag, Parameter, Whole
from tests.serving.test_validation import describe

TOY = Task(
    name="toy-task",
    aliases=("toy",),
    input=TextInput(),
    output="text",
    parameters={
        "times": Parameter(kind=Whole(1, 9), meaning="how often"),
        "loud": Parameter(kind=Flag(), meaning="in capitals"),
    },
    forward=frozenset({"times"}),
    example="a toy",
)


@pytest.fixture
def _registry() -> Iterator[None]:
    with patch.dict(tasks.TASKS), patch.dict(tasks._by_name_or_alias):
        yield


@pytest.mark.usefixtures("_registry")
def test_a_task_of_another_project_is_like_one_of_ours():
    tasks.register(TOY)

    assert tasks.TASKS["toy-task"] is tasks.find("toy-task") is tasks.find("toy") is TOY
    description = describe("toy-task")
    validate_inputs(description, ["a text"])
    with pytest.raises(Invalid, match=r"The input is a number; it must be a text\."):
        validate_inputs(description, [1])
    assert validate_parameters(description, {"times": 2, "loud": None}) == {"times": 2}
    with pytest.raises(Invalid, match="Parameter times is 0; it must be a whole number from 1 to 9"):
        validate_parameters(description, {"times": 0})
    assert TOY.batch_key({"times": 2, "loud": True}) == TOY.batch_key({"times": 2}) != TOY.batch_key({"times": 3})


def test_every_module_of_the_package_that_has_a_task_is_found():
    folder = Path(tasks.__file__).parent
    with_task = {path.stem for path in folder.glob("*.py") if "\nTASK = " in path.read_text()}
    assert {name.replace("-", "_") for name in tasks.TASKS} == with_task
    assert len(with_task) >= 6


@pytest.mark.usefixtures("_registry")
@pytest.mark.parametrize(
    ("name", "aliases", "taken"),
    [
        ("fill-mask", (), "fill-mask"),
        ("ner", (), "ner"),
        ("toy-task", ("fill-mask",), "fill-mask"),
        ("toy-task", ("ner",), "ner"),
        ("toy-task", ("toy-task",), "toy-task"),
    ],
)
def test_a_name_is_given_once(name: str, aliases: tuple[str, ...], taken: str):
    before = list(tasks.TASKS)
    with pytest.raises(ValueError, match=f"cannot both be called '{taken}'"):
        tasks.register(Task(name=name, aliases=aliases, input=TextInput(), output="text", example=""))
    assert list(tasks.TASKS) == before


def test_an_alias_stands_for_its_task():
    assert tasks.find("ner") is tasks.TASKS["token-classification"]
    assert tasks.find("sentiment-analysis") is tasks.TASKS["text-classification"]
    assert tasks.find("fill-maks") is None


def may_name_tasks(path: str) -> bool:
    """Tasks, how transformers runs them, the fake pipeline's default, and dialects, which serve clients' oddities."""
    of_backend = {f"backends/transformers/{name.replace('-', '_')}.py" for name in tasks.TASKS}
    return path.startswith(("tasks/", "api/dialects/", "testing/")) or path in of_backend


def test_nothing_else_names_a_task():
    names = {name for task in tasks.TASKS.values() for name in (task.name, *task.aliases)} - {*RESERVED}
    folder = Path(inference.__file__).parent
    found = [
        f"{path.relative_to(folder)}:{node.lineno} {node.value}"
        for path in sorted(folder.rglob("*.py"))
        if not may_name_tasks(path.relative_to(folder).as_posix())
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in names
    ]
    found += [
        f"{path.relative_to(folder)} {name}"
        for path in sorted(folder.rglob("*.html"))
        for name in names
        if re.search(rf"\b{re.escape(name)}\b", path.read_text())
    ]
    assert not found
