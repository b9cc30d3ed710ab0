import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.request_log.preview import PARAMETERS_CHARS, Kept, kept, preview
from inference.request_log.redaction import Redactor


@pytest.mark.parametrize(
    ("inputs", "mode", "expected"),
    [
        (["test [MASK]"], "none", ""),
        ([], "preview", ""),
        ([], "full", ""),
        (["test [MASK]"], "preview", "test [MASK]"),
        (["one", "two", "three"], "preview", "one (+2 more)"),
        (["x" * 200], "preview", "x" * 200),
        (["x" * 201, "y"], "preview", "x" * 200 + "… (+1 more)"),
        ([{"question": "wer?", "context": "für mich"}], "preview", '{"question": "wer?", "context": "für mich"}'),
        ([None], "preview", "null"),
        ([[1, 2.5, True]], "preview", "[1, 2.5, true]"),
        ([["x" * 500]], "preview", '["' + "x" * 198 + "…"),
        (["one", {"a": None}], "full", '["one", {"a": null}]'),
        (["a\0b"], "preview", "a\ufffdb"),
        (["a\0b"], "full", '["a\\u0000b"]'),
        (["a\ud800b"], "preview", "a?b"),
        (["a\ud800b"], "full", '["a?b"]'),
        ([b"bytes"], "preview", "\"b'bytes'\""),
        ([10**5000], "preview", "(not shown)"),
        ([10**5000, "b"], "full", "(not shown) (+1 more)"),
    ],
)
def test_preview(inputs: list[object], mode: str, expected: str):
    assert preview(inputs, mode) == expected


@pytest.mark.parametrize(
    ("inputs", "parameters", "mode", "expected"),
    [
        (["a"], {"top_k": 2}, "none", Kept()),
        (["a"], None, "preview", Kept("a")),
        (["a"], {}, "full", Kept('["a"]', "", True)),
        (["a"], {"top_k": 2}, "preview", Kept("a", '{"top_k":2}')),
        (["a"], {"top_k": 2}, "full", Kept('["a"]', '{"top_k":2}', True)),
        (["a"], {"x": "y" * 300}, "preview", Kept("a", '{"x":"' + "y" * 194 + "…")),
        (["a"], {"x": "y" * 20_000}, "full", Kept('["a"]', '{"x":"' + "y" * (PARAMETERS_CHARS - 6) + "…")),
        (["a"], ["no", "object"], "full", Kept('["a"]', '["no","object"]', True)),
        (["a\ud800b"], None, "full", Kept('["a?b"]')),
        (["a"], {"x": "a\ud800b"}, "full", Kept('["a"]', '{"x": "a?b"}')),
        ([object], None, "full", Kept("[\"<class 'object'>\"]")),
        ([10**5000], None, "full", Kept("(not shown)")),
        (["a"], {"x": 10**5000}, "full", Kept('["a"]', "(not shown)")),
        ([], None, "full", Kept()),
    ],
)
def test_what_is_kept(inputs: list[object], parameters: object, mode: str, expected: Kept):
    assert kept(inputs, parameters, mode) == expected


def test_what_is_kept_is_complete_unless_something_was_redacted():
    redactor = Redactor(lambda text: text.replace("secret", "…"))
    assert kept(["a"], {"x": ["b"]}, "full", redactor) == Kept('["a"]', '{"x":["b"]}', True)
    assert kept(["a secret"], {"x": "b"}, "full", redactor) == Kept('["a …"]', '{"x":"b"}')
    assert kept(["a"], {"x": ["secret"]}, "full", redactor) == Kept('["a"]', '{"x":["…"]}')


@pytest.mark.parametrize("mode", ["preview", "full"])
def test_a_preview_of_deep_nesting_is_harmless(mode: str):
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert preview([deep], mode)
    assert kept(["a"], {"x": deep}, mode).parameters == "(not shown)"


texts = st.text(st.characters(exclude_categories=()), max_size=20)  # lone surrogates and NUL too
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.lists(json_values, max_size=3), st.sampled_from(["preview", "full"]))
def test_a_preview_of_any_json_can_be_stored(inputs: list[object], mode: str):
    assert "\0" not in preview(inputs, mode)
    preview(inputs, mode).encode()
