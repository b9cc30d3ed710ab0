import math
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from inference.errors import Invalid
from inference.serving.validation import validate_parameters
from inference.tasks import TASKS
from inference.tasks.grammars import Grammar
from inference.tasks.parameters import WORD_BOXES
from tests.serving.test_validation import describe

NO_NUMBERS: list[Any] = ["3", True, False, [3], {}, math.nan, math.inf, 10**400]
NO_TEXTS: list[Any] = [1, True, ["a"], {}, "", "\ud800"]

WHOLE = "a whole number from {} to {}"
NUMBER = "a number from {} to {}"
FLAG = "true or false"
CHOICE = "one of {}"
TEXT = "a text of at most {} characters"
LIST = "a list of 1 to {} texts of at most {} characters"
NAME = "a text of at most {} characters"
TIMESTAMPS = 'true, false, "word" or "char"'
BIASES = 'an object of at most 300 token ids, each with a number from -100 to 100, such as {"17": -100}'
TEMPLATE = "a text of at most 500 characters with one {} and no other braces"

RULES: dict[str, tuple[list[Any], list[Any]]] = {
    WHOLE.format(1, 1000): ([1, 2, 1000], [0, -1, 1001, 1.0, 2.5, *NO_NUMBERS]),
    WHOLE.format(1, 4096): ([1, 4096], [0, 4097, 5.0, *NO_NUMBERS]),
    WHOLE.format(0, 2**31 - 1): ([0, 2**31 - 1], [-1, 2**31, 0.0, *NO_NUMBERS]),
    WHOLE.format(1, 16): ([1, 16], [0, 17, 2.0, *NO_NUMBERS]),
    WHOLE.format(0, 20): ([0, 20], [-1, 21, 2.0, *NO_NUMBERS]),
    WHOLE.format(0, 100): ([0, 100], [-1, 101, 2.0, *NO_NUMBERS]),
    WHOLE.format(0, 4096): ([0, 4096], [-1, 4097, 2.0, *NO_NUMBERS]),
    WHOLE.format(2, 4097): ([2, 4097], [1, 4098, 2.0, *NO_NUMBERS]),
    NUMBER.format(-2, 2): ([-2, 0.5, 2], [-2.1, 2.01, *NO_NUMBERS]),
    BIASES: (
        [{}, {"0": 1.5}, {"17": -100, "999": 100}, {str(number): 0 for number in range(300)}],
        [
            {str(number): 0 for number in range(301)},
            {"17": 100.1},
            {"17": "1"},
            {"17": True},
            {"17": None},
            {"017": 1},
            {"-1": 1},
            {"1.0": 1},
            {" 1": 1},
            {"": 1},
            {"٣": 1},
            {"9" * 5000: 1},
            {"word": 1},
            [[17, 1]],
            "17",
            1,
        ],
    ),
    str(Grammar()): (
        [{"type": "json_object"}, {"type": "json", "value": {"type": "null"}}, {"type": "regex", "value": "a+"}],
        [
            {"type": "json"},
            "json",
            {"type": "lark", "value": "a"},
            1,
        ],
    ),
    NUMBER.format(-10, 10): ([-10, 0, 0.5, 10], [-10.1, 11, *NO_NUMBERS]),
    NUMBER.format(0.01, 100): ([0.01, 1, 100, 100.0], [0, 0.0099, 100.01, -1, *NO_NUMBERS]),
    NUMBER.format(0.001, 1): ([0.001, 0.5, 1], [0, 0.0009, 1.001, *NO_NUMBERS]),
    NUMBER.format(0, 1): ([0, 0.5, 1.0], [-0.1, 1.01, *NO_NUMBERS]),
    WHOLE.format(1, 100): ([1, 100], [0, 101, 1.0, *NO_NUMBERS]),
    WHOLE.format(8, 8192): ([8, 8192], [7, 8193, 8.0, *NO_NUMBERS]),
    WHOLE.format(0, 8192): ([0, 8192], [-1, 8193, 0.0, *NO_NUMBERS]),
    WHOLE.format(1, 8192): ([1, 8192], [0, 8193, 1.0, *NO_NUMBERS]),
    TEXT.format(100): (["a", "é" * 100], ["a" * 101, *NO_TEXTS]),
    NUMBER.format(1, 30): ([1, 12.5, 30], [0.9, 31, *NO_NUMBERS]),
    NUMBER.format(0, 10): ([0, 2.5, 10], [-1, 10.5, *NO_NUMBERS]),
    WHOLE.format(0, 100_000): ([0, 100_000], [-1, 100_001, 1.0, *NO_NUMBERS]),
    CHOICE.format("transcribe, translate"): (["translate"], ["Translate", *NO_TEXTS]),
    CHOICE.format("wav, flac"): (["wav", "flac"], ["mp3", *NO_TEXTS]),
    TIMESTAMPS: ([True, False, "word", "char"], ["words", 1, 0, [], {}]),
    FLAG: ([True, False], [0, 1, "true", [], 1.0]),
    CHOICE.format("sigmoid, softmax, none"): (["sigmoid", "softmax", "none"], ["tanh", "Softmax", *NO_TEXTS]),
    CHOICE.format("none, mean, cls, model, auto"): (["none", "mean", "model", "auto"], ["max", "Mean", *NO_TEXTS]),
    CHOICE.format("none, simple, first, average, max"): (["none", "simple", "max"], ["last", *NO_TEXTS]),
    CHOICE.format("do_not_truncate, longest_first, only_first"): (["longest_first"], ["only_second", *NO_TEXTS]),
    NAME.format(32): (["en", "a" * 32], ["a" * 33, *NO_TEXTS]),
    CHOICE.format("semantic, instance, panoptic"): (["panoptic"], ["Semantic", "all", *NO_TEXTS]),
    CHOICE.format("left, right"): (["left", "right"], ["Left", "both", *NO_TEXTS]),
    LIST.format(100, 100): (
        [["a"], ["a"] * 100, ["é" * 100]],
        [[], ["a"] * 101, ["a" * 101], [""], ["a", 1], ["a", None], [["a"]], "a", {}, {"a": 1}, ["\ud800"]],
    ),
    LIST.format(16, 100): ([["a"] * 16, ["\n"]], [[], ["a"] * 17, [""], "a", [1], ["\ud800"]]),
    LIST.format(64, 200): ([["a"] * 64, ["a" * 200]], [[], ["a"] * 65, ["a" * 201], ["a", ""], "a,b", 1, [True]]),
    str(WORD_BOXES): (
        [[["a", [0, 0, 1000, 1000]]], [["a b", [5, 5, 5, 5]]] * 10_000],
        [
            [],
            "a",
            [["a"]],
            [["", [0, 0, 1, 1]]],
            [["a", [0, 0, 1001, 1]]],
            [["a", [0, 0, 1]]],
            [["a", [2, 0, 1, 1]]],
            [["a", [0, 2, 1, 1]]],
            [["a", [0, 0, 1.5, 2]]],
            [["a" * 201, [0, 0, 1, 1]]],
            [[1, [0, 0, 1, 1]]],
            [["a", "b"]],
            [["a", [0, 0, 1, 1]]] * 10_001,
        ],
    ),
    TEMPLATE: (
        ["{}", "This is {}.", "{}" + "a" * 498],
        ["This is it.", "{}" + "a" * 499, "{0}", "{}{}", "{{}}", "{.__class__} {}", "{{}}{:>9}", "{} {", *NO_TEXTS],
    ),
}
PARAMETERS = {task.name: {name: str(p.kind) for name, p in task.parameters.items()} for task in TASKS.values()}
GENERATION = {name: PARAMETERS["text-generation"][name] for name in TASKS["text-generation"].forward}
EACH = [(task, name, rule) for task, parameters in PARAMETERS.items() for name, rule in parameters.items()]
FIRST = {rule: (task, name) for task, name, rule in reversed(EACH)}
"""A parameter for each rule."""
RIGHT = [(*FIRST[rule], value) for rule in FIRST for value in RULES[rule][0]]
WRONG = [(*FIRST[rule], value, rule) for rule in FIRST for value in RULES[rule][1]]


def parameters_of(task: str, given: Any, **fields: Any) -> dict[str, Any]:
    """Validated, together with what the task cannot do without."""
    known, examples = TASKS[task].parameters, TASKS[task].example_parameters
    required = {name: examples[name] for name, parameter in known.items() if parameter.required}
    return validate_parameters(describe(task, **fields), required | given)


def complaint(task: str, given: Any, **fields: Any) -> str:
    with pytest.raises(Invalid) as raised:
        validate_parameters(describe(task, **fields), given)
    return raised.value.message


# Parameters


def test_every_rule_is_that_of_a_parameter():
    assert list(RULES.keys() - FIRST.keys()) == []


@pytest.mark.parametrize(("task", "name", "value"), RIGHT)
def test_a_value_within_bounds_is_taken_as_it_is(task: str, name: str, value: Any):
    taken = parameters_of(task, {name: value})[name]
    assert (taken, type(taken)) == (value, float if PARAMETERS[task][name].startswith("a number") else type(value))


@pytest.mark.parametrize(("task", "name"), [(task, name) for task, name, _ in EACH])
def test_null_means_not_given(task: str, name: str):
    if TASKS[task].parameters[name].required:
        assert f"needs the parameter {name}" in complaint(task, {name: None})
    else:
        assert name not in parameters_of(task, {name: None}) or name == "seed"


def test_null_makes_even_an_unknown_name_harmless():
    assert parameters_of("fill-mask", {"best_of": None}) == {}


@pytest.mark.parametrize(("task", "name", "value", "rule"), WRONG)
def test_a_wrong_value_is_named_with_what_would_be_right(task: str, name: str, value: Any, rule: str):
    with pytest.raises(Invalid) as raised:
        parameters_of(task, {name: value})
    sentence = raised.value.message
    assert sentence.startswith(f"Parameter {name} is ")
    assert sentence.endswith(f"; it must be {rule}.")
    assert repr(value)[:59] in sentence


@pytest.mark.parametrize(("task", "name", "value"), RIGHT)
def test_the_schema_takes_what_is_right(task: str, name: str, value: Any):
    assert Draft202012Validator(TASKS[task].parameters[name].kind.schema()).is_valid(value)


def can_say(rule: str, value: Any) -> bool:
    """Whether JSON Schema can. It does not know surrogates, NaN, the order of numbers, and takes 1.0 for an integer."""
    reversed_sides = rule == str(WORD_BOXES) and value in ([["a", [2, 0, 1, 1]]], [["a", [0, 2, 1, 1]]])
    one = isinstance(value, float) and (math.isnan(value) or (value.is_integer() and rule.startswith("a whole")))
    return not (reversed_sides or one or "\\ud800" in ascii(value))


@pytest.mark.parametrize(("task", "name", "value", "rule"), [each for each in WRONG if can_say(each[3], each[2])])
def test_the_schema_refuses_what_is_wrong(task: str, name: str, value: Any, rule: str):
    assert not Draft202012Validator(TASKS[task].parameters[name].kind.schema()).is_valid(value)


def test_a_value_that_is_long_is_not_shown_in_full():
    assert len(complaint("fill-mask", {"top_k": "9" * 10_000})) < 200


def test_a_sentence_about_any_value_can_be_sent_to_the_client():
    assert msgspec.json.encode(complaint("fill-mask", {"\ud800": 1}))
    assert msgspec.json.encode(complaint("fill-mask", {"targets": ["\ud800"]}))


@pytest.mark.parametrize("task", TASKS)
def test_an_unknown_parameter_is_named_with_the_known_ones(task: str):
    sentence = complaint(task, {"padding": "max_length"})
    known = ", ".join(TASKS[task].parameters) or "none"
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


@pytest.mark.parametrize("task", [t.name for t in TASKS.values() if not (t.needs_parameters or t.samples)])
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


def test_only_tokens_of_the_vocabulary_have_a_bias():
    assert parameters_of("text-generation", {"logit_bias": {"4": 1}}, vocabulary=5)["logit_bias"] == {"4": 1}
    assert complaint("text-generation", {"logit_bias": {"4": 1, "5": 1}}, vocabulary=5) == (
        "Parameter logit_bias names the token 5; the last one of this model is 4."
    )


def test_the_vocabulary_does_not_bound_labels():
    assert parameters_of("text-classification", {"top_k": 6}, vocabulary=5) == {"top_k": 6}


# Seeds


def test_a_task_that_samples_gets_a_seed():
    first, second = (validate_parameters(describe("text-generation"), {})["seed"] for _ in range(2))
    assert 0 <= first < 2**31
    assert first != second


def test_a_clients_seed_stays():
    assert validate_parameters(describe("text-generation"), {"seed": 0})["seed"] == 0


def test_what_samples_takes_a_seed():
    assert [task.name for task in TASKS.values() if task.samples] == [
        task.name for task in TASKS.values() if "seed" in task.parameters
    ]


def test_parameters_in_an_object_of_their_own_count_like_others():
    description = describe("summarization")
    given = {"truncation": "only_first", "generate_parameters": {"num_beams": 2, "min_length": 5}, "min_length": 6}
    parameters = validate_parameters(description, given | {"seed": 1})
    assert parameters == {"truncation": "only_first", "num_beams": 2, "min_length": 6, "seed": 1}
    with pytest.raises(Invalid, match="There is no parameter 'custom_generate' for summarization"):
        validate_parameters(description, {"generate_parameters": {"custom_generate": "owner/name"}})
    with pytest.raises(Invalid, match="There is no parameter 'generate_parameters' for summarization"):
        validate_parameters(description, {"generate_parameters": {"generate_parameters": {}}})
    with pytest.raises(Invalid, match="Parameter generate_parameters is a list; it must be an object with parameters"):
        validate_parameters(description, {"generate_parameters": [1]})
    with pytest.raises(Invalid, match="There is no parameter 'generate_parameters' for fill-mask"):
        validate_parameters(describe("fill-mask"), {"generate_parameters": {}})
