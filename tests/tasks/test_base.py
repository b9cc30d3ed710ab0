import pytest

from inference.serving.validation import validate_inputs, validate_parameters
from inference.tasks import TASKS
from inference.tasks.base import Task
from tests.serving.test_validation import describe
from tests.tasks.test_parameters import EACH, GENERATION, PARAMETERS, RULES


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_the_example_of_a_task_is_valid(task: Task):
    description = describe(task.name, longest_input_chars=1000)
    validate_inputs(description, [task.example_for(description.mask_token)])
    validate_parameters(description, task.example_parameters)


# Batches


@pytest.mark.parametrize("name", GENERATION)
def test_jobs_that_differ_in_a_forward_parameter_do_not_share_a_batch(name: str):
    low, *_, high = RULES[GENERATION[name]][0]
    key_of = TASKS["text-generation"].batch_key
    assert key_of({name: low}) != key_of({name: high})


def test_a_forward_parameter_that_is_not_given_differs_from_one_that_is():
    key_of = TASKS["text-generation"].batch_key
    assert key_of({}) != key_of({"do_sample": False})


def test_the_order_of_parameters_does_not_matter_for_sharing_a_batch():
    key_of = TASKS["text-generation"].batch_key
    assert key_of({"seed": 1, "top_k": 2}) == key_of({"top_k": 2, "seed": 1})


@pytest.mark.parametrize(
    ("task", "name"),
    [(task, name) for task, name, _ in EACH if name not in TASKS[task].forward],
)
def test_jobs_that_differ_only_in_what_is_made_of_the_output_share_a_batch(task: str, name: str):
    values = RULES[PARAMETERS[task][name]][0]
    low, high = values[0], values[-1]
    key_of = TASKS[task].batch_key
    assert key_of({name: low}) == key_of({name: high}) == key_of({})
