import pytest

from inference.request_log.answer import FULL_CHARS, MOST_REDACTED_BYTES, TOO_LARGE, Output, beginning
from inference.request_log.redaction import Redactor


@pytest.mark.parametrize(
    ("outputs", "mode", "expected"),
    [
        ([b'"word"'], "none", ""),
        ([], "preview", ""),
        ([b'"word"'], "preview", '"word"'),
        ([b'"one"', b'"two"', b'"three"'], "preview", '"one" (+2 more)'),
        ([b'"one"', b'"two"'], "full", '["one", "two"]'),
        ([b"[1]"], "full", "[1]"),
        ([b"x" * 200], "preview", "x" * 200),
        ([b"x" * 201], "preview", "x" * 200 + "…"),
        (["é".encode() * 300], "preview", "é" * 200 + "…"),
        ([b"x" * 9999], "full", "x" * FULL_CHARS + "…"),
        ([b"x" * 3999, b"y" * 9], "full", "[" + "x" * 3999 + "…"),
        (["(float32, 2 × 768)", "(float32, 1 × 768)"], "preview", "(float32, 2 × 768) (+1 more)"),
        ([b'"a\0b"'], "preview", '"a\ufffdb"'),
    ],
)
def test_an_answer_has_a_beginning(outputs: list[Output], mode: str, expected: str):
    assert beginning(outputs, len(outputs), mode) == expected


def test_only_what_is_shown_is_read():
    outputs = (output for output in [b'"one"', *[b"x" * 3000] * 9])
    assert beginning(outputs, 10, "full").startswith('["one", xxx')
    assert len(list(outputs)) == 7


@pytest.mark.parametrize("mode", ["preview", "full"])
def test_an_answer_is_redacted_before_it_is_cut(mode: str):
    """A word that the cut would halve is found all the same; numbers and structure stay."""
    redactor = Redactor(lambda text: text.replace("secret", "[…]"))
    answer = b'[{"text": "' + b"x" * 176 + b' secret", "score": 0.5}]'
    shown = beginning([answer] * 2, 2, mode, redactor)
    assert "sec" not in shown
    assert "[…]" in shown


def test_what_cannot_be_redacted_is_not_kept():
    def fails(text: str) -> str:
        raise RuntimeError(text)

    assert beginning([b'"secret"'], 1, "full", Redactor(fails)) == ""
    assert beginning([b'"no JSON'], 1, "full", Redactor(str)) == ""
    assert beginning([b'"' + b"x" * MOST_REDACTED_BYTES + b'"'], 1, "full", Redactor(str)) == TOO_LARGE
