from contextlib import nullcontext
from typing import Any

import pytest

from inference.errors import EmptyInput, Invalid
from inference.messaging.messages import Description
from inference.serving.query import Query
from inference.serving.validation import validate_inputs, validate_tokens
from inference.tasks import TASKS


def describe(task: str = "fill-mask", **fields: Any) -> Description:
    known: dict[str, Any] = {
        "task": task,
        "model": "a/model",
        "revision": "",
        "device": "cpu",
        "dtype": "float32",
        "threads": 1,
        "vocabulary": 30_000,
        "mask_token": "[MASK]" if task == "fill-mask" else "",
        "longest_input": 10,
        "longest_input_chars": 100,
    }
    return Description(**(known | fields))


def refusal(inputs: list[Any], **fields: Any) -> str:
    with pytest.raises((Invalid, EmptyInput)) as raised:
        validate_inputs(describe(**fields), inputs)
    return raised.value.message


def test_no_inputs_at_all_are_refused_as_empty():
    with pytest.raises(EmptyInput, match="is an empty list; send a text or a list of texts"):
        validate_inputs(describe(), [])


def test_a_single_input_is_checked_as_its_task_has_it():
    assert refusal(["no mask"]) == "The input has no [MASK]; put one where a word is to be filled in."
    assert refusal([[{"role": "user", "content": "a"}]], task="text-generation").endswith("it must be a text.")


@pytest.mark.parametrize("task", [task.name for task in TASKS.values() if task.input.plain and not task.input.masked])
def test_other_tasks_need_no_mask(task: str):
    validate_inputs(describe(task, mask_token="[MASK]"), ["no mask"])


@pytest.mark.parametrize(
    "bad", [1, "", "no mask", "[MASK]" + "a" * 95, "[MASK]\ud800"], ids=["number", "empty", "no mask", "long", "half"]
)
def test_the_first_bad_one_of_several_inputs_is_named_by_its_index(bad: Any):
    assert refusal(["[MASK]", "[MASK]", bad, bad]).startswith("inputs[2] ")


def test_several_good_inputs_are_fine():
    validate_inputs(describe(), ["a [MASK]"] * 100)


@pytest.mark.parametrize(
    ("task", "parameters", "refused"),
    [
        ("text-classification", {}, True),
        ("text-classification", {"truncate": False}, True),
        ("text-classification", {"truncate": True}, False),
        ("token-classification", {"stride": 0}, False),
        ("feature-extraction", {"chunk": True}, False),
        ("feature-extraction", {"chunk": False}, True),
    ],
    ids=str,
)
def test_what_is_cut_or_read_in_parts_may_be_longer(task: str, parameters: dict[str, Any], refused: bool):
    with pytest.raises(Invalid, match="101 characters") if refused else nullcontext():
        validate_inputs(describe(task), ["a" * 101], parameters)


# Streams


@pytest.mark.parametrize("field", ["stream", "details"])
def test_tokens_are_for_one_input_of_a_model_that_streams(field: str):
    validate_tokens(describe("text-generation", streams=True), field)


def test_tokens_are_refused_where_there_are_none():
    with pytest.raises(Invalid, match=r"^fill-mask does not stream; leave 'stream' out\.$"):
        validate_tokens(describe(), "stream")


def test_tokens_of_several_inputs_are_refused():
    with pytest.raises(Invalid) as raised:
        Query.of(["a", "b"], tokens_for="details")
    assert raised.value.message == (
        "'details' is for one input, and 'inputs' is a list; send a text, or leave 'details' out."
    )
