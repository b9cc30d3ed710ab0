import math
from typing import Any

import msgspec
import pytest

from inference.errors import EmptyInput, Invalid
from inference.messages import Description
from inference.tasks import ALIASES, TASKS, json_type, validate_inputs, validate_parameters

NO_NUMBERS: list[Any] = ["3", None, True, False, [3], {}, math.nan, math.inf, 10**400]
NO_TEXTS: list[Any] = [1, None, True, ["a"], {}, "", "\ud800"]

WHOLE = "a whole number from {} to {}"
NUMBER = "a number from {} to {}"
FLAG = "true or false"
CHOICE = "one of {}"
LIST = "a list of 1 to {} texts of at most {} characters"
TEMPLATE = "a text of at most 500 characters with one {} and no other braces"

RULES: dict[str, tuple[list[Any], list[Any]]] = {
    WHOLE.format(1, 1000): ([1, 2, 1000], [0, -1, 1001, 1.0, 2.5, *NO_NUMBERS]),
    WHOLE.format(1, 4096): ([1, 4096], [0, 4097, 5.0, *NO_NUMBERS]),
    WHOLE.format(0, 2**31 - 1): ([0, 2**31 - 1], [-1, 2**31, 0.0, *NO_NUMBERS]),
    NUMBER.format(0.01, 100): ([0.01, 1, 100, 100.0], [0, 0.0099, 100.01, -1, *NO_NUMBERS]),
    NUMBER.format(0.001, 1): ([0.001, 0.5, 1], [0, 0.0009, 1.001, *NO_NUMBERS]),
    FLAG: ([True, False], [0, 1, "true", None, [], 1.0]),
    CHOICE.format("sigmoid, softmax, none"): (["sigmoid", "softmax", "none"], ["tanh", "Softmax", *NO_TEXTS]),
    CHOICE.format("none, mean, cls"): (["none", "mean", "cls"], ["max", "Mean", *NO_TEXTS]),
    CHOICE.format("none, simple, first, average, max"): (["none", "simple", "max"], ["last", *NO_TEXTS]),
    LIST.format(100, 100): (
        [["a"], ["a"] * 100, ["é" * 100]],
        [[], ["a"] * 101, ["a" * 101], [""], ["a", 1], ["a", None], [["a"]], "a", None, {}, {"a": 1}, ["\ud800"]],
    ),
    LIST.format(64, 200): ([["a"] * 64, ["a" * 200]], [[], ["a"] * 65, ["a" * 201], ["a", ""], "a,b", 1, [True]]),
    TEMPLATE: (
        ["{}", "This is {}.", "{}" + "a" * 498],
        ["This is it.", "{}" + "a" * 499, "{0}", "{}{}", "{{}}", "{.__class__} {}", "{{}}{:>9}", "{} {", *NO_TEXTS],
    ),
}
GENERATION = {
    "max_new_tokens": WHOLE.format(1, 4096),
    "do_sample": FLAG,
    "temperature": NUMBER.format(0.01, 100),
    "top_k": WHOLE.format(1, 1000),
    "top_p": NUMBER.format(0.001, 1),
    "repetition_penalty": NUMBER.format(0.01, 100),
    "seed": WHOLE.format(0, 2**31 - 1),
}
PARAMETERS: dict[str, dict[str, str]] = {
    "fill-mask": {"top_k": WHOLE.format(1, 1000), "targets": LIST.format(100, 100)},
    "text-classification": {
        "top_k": WHOLE.format(1, 1000),
        "function_to_apply": CHOICE.format("sigmoid, softmax, none"),
    },
    "token-classification": {
        "aggregation_strategy": CHOICE.format("none, simple, first, average, max"),
        "ignore_labels": LIST.format(100, 100),
    },
    "feature-extraction": {"pooling": CHOICE.format("none, mean, cls"), "normalize": FLAG},
    "zero-shot-classification": {
        "candidate_labels": LIST.format(64, 200),
        "multi_label": FLAG,
        "hypothesis_template": TEMPLATE,
    },
    "text-generation": {**GENERATION, "return_full_text": FLAG},
}
EACH = [(task, name, rule) for task, parameters in PARAMETERS.items() for name, rule in parameters.items()]
RIGHT = [(task, name, value) for task, name, rule in EACH for value in RULES[rule][0]]
WRONG = [(task, name, value, rule) for task, name, rule in EACH for value in RULES[rule][1]]


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


def parameters_of(task: str, given: Any, **fields: Any) -> dict[str, Any]:
    """Validated, together with what the task cannot do without."""
    required = {"candidate_labels": ["a", "b"]} if task == "zero-shot-classification" else {}
    return validate_parameters(describe(task, **fields), required | given)


def complaint(task: str, given: Any, **fields: Any) -> str:
    with pytest.raises(Invalid) as raised:
        validate_parameters(describe(task, **fields), given)
    return raised.value.message


# Parameters


def test_the_rules_of_every_parameter_are_tried_here():
    known = {
        task.name: {name: str(parameter.kind) for name, parameter in task.parameters.items()} for task in TASKS.values()
    }
    assert known == PARAMETERS


@pytest.mark.parametrize(("task", "name", "value"), RIGHT)
def test_a_value_within_bounds_is_taken_as_it_is(task: str, name: str, value: Any):
    assert parameters_of(task, {name: value})[name] is value


@pytest.mark.parametrize(("task", "name", "value", "rule"), WRONG)
def test_a_wrong_value_is_named_with_what_would_be_right(task: str, name: str, value: Any, rule: str):
    with pytest.raises(Invalid) as raised:
        parameters_of(task, {name: value})
    sentence = raised.value.message
    assert sentence.startswith(f"Parameter {name} is ")
    assert sentence.endswith(f"; it must be {rule}.")
    assert repr(value)[:59] in sentence


def test_a_value_that_is_long_is_not_shown_in_full():
    assert len(complaint("fill-mask", {"top_k": "9" * 10_000})) < 200


def test_a_sentence_about_any_value_can_be_sent_to_the_client():
    assert msgspec.json.encode(complaint("fill-mask", {"\ud800": 1}))
    assert msgspec.json.encode(complaint("fill-mask", {"targets": ["\ud800"]}))


@pytest.mark.parametrize("task", TASKS)
def test_an_unknown_parameter_is_named_with_the_known_ones(task: str):
    sentence = complaint(task, {"padding": "max_length"})
    known = ", ".join(PARAMETERS[task]) or "none"
    assert sentence == f"There is no parameter 'padding' for {task}; known are: {known}."


@pytest.mark.parametrize("name", ["custom_generate", "padding", "tokenizer_kwargs", "TOP_K", "top_k ", ""])
@pytest.mark.parametrize("task", TASKS)
def test_what_is_not_on_the_list_is_refused(task: str, name: str):
    assert f"There is no parameter {name!r} for {task};" in complaint(task, {name: 1})


def test_the_long_name_of_an_unknown_parameter_is_not_shown_in_full():
    assert len(complaint("fill-mask", {"x" * 100_000: 1})) < 200


@pytest.mark.parametrize("given", [None, {}])
def test_a_missing_required_parameter_is_named_with_what_it_is(given: Any):
    sentence = complaint("zero-shot-classification", given)
    rule = PARAMETERS["zero-shot-classification"]["candidate_labels"]
    assert (
        sentence == f"zero-shot-classification needs the parameter candidate_labels: {rule}, the labels to choose from."
    )


@pytest.mark.parametrize("task", sorted(set(TASKS) - {"zero-shot-classification", "text-generation"}))
@pytest.mark.parametrize("given", [None, {}])
def test_no_parameters_are_fine(task: str, given: Any):
    assert validate_parameters(describe(task), given) == {}


@pytest.mark.parametrize(
    ("given", "what"), [([], "a list"), ("top_k", "a text"), (3, "a number"), (True, "true or false")], ids=str
)
def test_parameters_that_are_no_object_are_refused(given: Any, what: str):
    sentence = complaint("fill-mask", given)
    assert sentence == f"'parameters' is {what}; it must be an object such as {{\"top_k\": 3}}."


def test_what_was_given_is_not_changed():
    given = {"do_sample": True}
    parameters = validate_parameters(describe("text-generation"), given)
    assert given == {"do_sample": True}
    assert parameters is not given


def test_no_more_answers_than_the_vocabulary_has_words():
    assert complaint("fill-mask", {"top_k": 6}, vocabulary=5) == (
        "Parameter top_k is 6; the model's vocabulary has 5 words."
    )


def test_as_many_answers_as_the_vocabulary_has_words():
    assert parameters_of("fill-mask", {"top_k": 5}, vocabulary=5) == {"top_k": 5}


def test_the_vocabulary_does_not_bound_labels():
    assert parameters_of("text-classification", {"top_k": 6}, vocabulary=5) == {"top_k": 6}


# Seeds


def test_a_task_that_samples_gets_a_seed():
    first, second = (validate_parameters(describe("text-generation"), {})["seed"] for _ in range(2))
    assert 0 <= first < 2**31
    assert first != second


def test_a_clients_seed_stays():
    assert validate_parameters(describe("text-generation"), {"seed": 0})["seed"] == 0


def test_only_generation_samples():
    assert [task.name for task in TASKS.values() if task.samples] == ["text-generation"]


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
    [(task, name) for task, name, _ in EACH if task != "text-generation"] + [("text-generation", "return_full_text")],
)
def test_jobs_that_differ_only_in_what_is_made_of_the_output_share_a_batch(task: str, name: str):
    low, *_, high = RULES[PARAMETERS[task][name]][0]
    key_of = TASKS[task].batch_key
    assert key_of({name: low}) == key_of({name: high}) == key_of({})


# Inputs


def refusal(inputs: list[Any], **fields: Any) -> str:
    with pytest.raises((Invalid, EmptyInput)) as raised:
        validate_inputs(describe(**fields), inputs)
    return raised.value.message


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (1, "a number"),
        (1.5, "a number"),
        (True, "true or false"),
        (None, "null"),
        ({"text": "a"}, "an object"),
        (["a"], "a list"),
    ],
    ids=str,
)
def test_an_input_that_is_no_text_is_refused(value: Any, what: str):
    assert refusal([value]) == f"The input is {what}; it must be a text."


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u00a0\u2003"], ids=ascii)
def test_an_empty_input_is_refused_as_empty(text: str):
    with pytest.raises(EmptyInput, match=r"^The input is empty; send a text\.$"):
        validate_inputs(describe(), [text])


def test_no_inputs_at_all_are_refused_as_empty():
    with pytest.raises(EmptyInput, match="is an empty list; send a text or a list of texts"):
        validate_inputs(describe(), [])


def test_too_many_characters_are_refused_with_limit_and_actual():
    assert refusal(["[MASK]" + "a" * 95]) == (
        "The input has 101 characters; this model takes 10 tokens, which are never more than 100 characters."
    )


def test_as_many_characters_as_allowed_are_fine():
    validate_inputs(describe(), ["[MASK]" + "a" * 94])


def test_no_mask_is_refused_with_the_mask_token():
    assert refusal(["no mask"]) == "The input has no [MASK]; put one where a word is to be filled in."


def test_another_models_mask_token_is_no_mask():
    assert refusal(["a [MASK]"], mask_token="<mask>") == (
        "The input has no <mask>; put one where a word is to be filled in."
    )


@pytest.mark.parametrize("task", sorted(set(TASKS) - {"fill-mask"}))
def test_other_tasks_need_no_mask(task: str):
    validate_inputs(describe(task, mask_token="[MASK]"), ["no mask"])


def test_half_of_a_surrogate_pair_is_refused():
    assert refusal(["[MASK] \ud800"]) == (
        "The input has half of a surrogate pair in it, which is no character; send whole ones."
    )


def test_characters_beyond_the_basic_plane_are_fine():
    validate_inputs(describe(), ["[MASK] \U0001f600"])


@pytest.mark.parametrize(
    "bad", [1, "", "no mask", "[MASK]" + "a" * 95, "[MASK]\ud800"], ids=["number", "empty", "no mask", "long", "half"]
)
def test_the_first_bad_one_of_several_inputs_is_named_by_its_index(bad: Any):
    assert refusal(["[MASK]", "[MASK]", bad, bad]).startswith("inputs[2] ")


def test_several_good_inputs_are_fine():
    validate_inputs(describe(), ["a [MASK]"] * 100)


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_the_example_of_a_task_is_valid(task: Any):
    description = describe(task.name)
    validate_inputs(description, [task.example.replace("{mask}", description.mask_token)])
    validate_parameters(description, task.example_parameters)


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_an_alias_stands_for_a_task_that_exists(alias: str, name: str):
    assert alias not in TASKS
    assert name in TASKS


def test_json_types_are_named_in_words():
    values = [{}, [], "", True, None, 1, 1.5]
    words = ["an object", "a list", "a text", "true or false", "null", "a number", "a number"]
    assert [json_type(value) for value in values] == words
