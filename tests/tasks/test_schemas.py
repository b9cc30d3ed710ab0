from typing import Any

import pytest
from jsonschema import Draft202012Validator

from inference.tasks import TASKS
from inference.tasks.base import Task
from inference.tasks.media import Media
from inference.tasks.outputs import OUTPUTS
from inference.testing.answers import default_answer
from tests.serving.test_validation import describe

each_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


def is_valid(schema: Any, value: Any) -> bool:
    Draft202012Validator.check_schema(schema)
    return bool(Draft202012Validator(schema).is_valid(value))


@each_task
def test_the_schema_of_inputs_takes_the_example(task: Task):
    assert is_valid(task.input.schema(), task.example_for("[MASK]"))


@each_task
@pytest.mark.parametrize("wrong", [None, 3, "", [], {}, {"text": 3}, ["a", 3]], ids=str)
def test_the_schema_of_inputs_refuses_what_no_task_takes(task: Task, wrong: Any):
    media = wrong == "" and task.input.media  # JSON Schema's formats of texts are no rules
    assert media or not is_valid(task.input.schema(), wrong)


@each_task
def test_the_schema_of_outputs_takes_the_answer(task: Task):
    given = task.example_for("[MASK]")
    answer = default_answer(describe(task.name))(given, dict(task.example_parameters))
    assert isinstance(answer, Media) or is_valid(OUTPUTS[task.output], answer)
