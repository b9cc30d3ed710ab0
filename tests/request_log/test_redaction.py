"""What a project's function says is kept of inputs, and nothing if it fails."""

import logging
import re
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from inference.request_log import redaction
from inference.request_log.preview import preview
from inference.request_log.redaction import Redactor

CARD = re.compile(r"\b\d{16}\b")


def without_cards(text: str) -> str:
    return CARD.sub("[card]", text)


REDACTOR = Redactor(without_cards)
NUMBER = "4111111111111111"


@pytest.mark.parametrize(
    ("inputs", "mode", "kept"),
    [
        ([f"pay {NUMBER} now", f"or {NUMBER}"], "preview", "pay [card] now (+1 more)"),
        (["x" * 195 + f" {NUMBER} and"], "preview", "x" * 195 + " [car…"),
        ([f"pay {NUMBER}", {"text": NUMBER}], "full", '["pay [card]", {"text": "[card]"}]'),
        (
            [{"messages": [{"content": NUMBER, NUMBER: 5}]}],
            "preview",
            '{"messages": [{"content": "[card]", "[card]": 5}]}',
        ),
        ([[1, 2.5, None, True]], "full", "[[1, 2.5, null, true]]"),
        ([f"pay {NUMBER}"], "none", ""),
        ([], "full", ""),
    ],
)
def test_whole_texts_are_redacted_before_they_are_cut(inputs: list[Any], mode: str, kept: str):
    assert preview(inputs, mode, REDACTOR) == kept


@pytest.mark.parametrize("mode", ["preview", "full"])
@pytest.mark.parametrize("result", [ValueError(NUMBER), None, b"bytes", 7])
def test_nothing_is_kept_if_the_function_fails(mode: str, result: Any, caplog: pytest.LogCaptureFixture):
    def fails(text: str) -> Any:
        if isinstance(result, Exception):
            raise result
        return result

    redactor = Redactor(fails)
    assert preview([f"pay {NUMBER}", "x"], mode, redactor) == ""
    assert redactor.text(f"pay {NUMBER}") == ""
    (record,) = caplog.records
    assert "nothing is kept" in record.getMessage()
    assert NUMBER not in logging.Formatter().format(record)


def test_an_input_that_is_nested_too_deeply_is_not_kept():
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert preview([deep], "full", REDACTOR) == ""


def test_failures_are_reported_once_a_minute(caplog: pytest.LogCaptureFixture):
    now = [1000.0]
    redactor = Redactor(lambda text: text.nothing, clock=lambda: now[0])  # type: ignore[attr-defined]
    for passed in (0, 30, 29, 1, 59, 1):
        now[0] += passed
        redactor.text("x")
    assert len(caplog.records) == 3


def test_the_function_is_found_by_its_path():
    assert redaction.configured("") is None
    found = redaction.configured(f"{__name__}.without_cards")
    assert found is not None
    assert found.text(NUMBER) == "[card]"
    for path in ("no.such.function", "nodots", "math.pi"):
        with pytest.raises(ImproperlyConfigured, match=path):
            redaction.configured(path)
