"""``response_format``, as the clients send it."""

from typing import Any

import pytest

from inference.api.dialects.openai.errors import InvalidField, UnsupportedField
from inference.api.dialects.openai.structured import read_format
from inference.tasks import TASKS

TASK = TASKS["text-generation"]
SCHEMA = {"type": "object", "properties": {"a": {"type": "null"}}}
BY_SCHEMA = {"grammar": {"type": "json", "value": SCHEMA}}


@pytest.mark.parametrize(
    ("given", "parameters"),
    [
        (None, {}),
        ({"type": "text"}, {}),
        ({"type": "json_object"}, {"grammar": {"type": "json_object"}}),
        ({"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": SCHEMA}}, BY_SCHEMA),
        (
            {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
            {"grammar": {"type": "json", "value": {}}},
        ),
        ({"type": "json_object", "value": SCHEMA}, BY_SCHEMA),
        ({"type": "json", "value": SCHEMA}, BY_SCHEMA),
        ({"type": "json_object", "schema": SCHEMA}, BY_SCHEMA),
        ({"type": "regex", "value": "a+"}, {"grammar": {"type": "regex", "value": "a+"}}),
    ],
)
def test_a_format_means_a_grammar(given: Any, parameters: dict[str, Any]) -> None:
    assert read_format({"response_format": given} if given else {}, TASK) == parameters


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("json", "'response_format' is 'json'; it must be like {"),
        ([], "'response_format' is []; it must be like {"),
        ({"type": "xml"}, "'response_format' is {'type': 'xml'}; it must be like {"),
        ({"type": "json_schema"}, "'response_format' is {'type': 'json_schema'}; it must be like {"),
        ({"type": "json_schema", "json_schema": {"name": "x"}}, "'response_format' is"),
        ({"type": "json_schema", "json_schema": {"schema": "{}"}}, "'response_format' is"),
        ({"type": "json_object", "value": "x"}, "'response_format' is"),
        (
            {"type": "regex", "value": ""},
            "'response_format' means {'type': 'regex', 'value': ''}; it must be an object",
        ),
        ({"type": "json", "value": {"multipleOf": 10**6}}, "'response_format' means"),
    ],
)
def test_other_formats_are_refused(given: Any, sentence: str) -> None:
    with pytest.raises(InvalidField) as refused:
        read_format({"response_format": given}, TASK)
    assert refused.value.param == "response_format"
    assert refused.value.message.startswith(sentence)


def test_a_task_without_grammars() -> None:
    with pytest.raises(UnsupportedField, match="not supported for image-text-to-text"):
        read_format({"response_format": {"type": "json_object"}}, TASKS["image-text-to-text"])
