"""Models that cannot be run token by token generate each text as a whole."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from inference.backends.transformers.seq2seq import self_check
from inference.backends.transformers.seq2seq.positions import RowPositions
from inference.backends.transformers.seq2seq.whole import WholeTexts
from inference.conf import Conf
from inference.errors import Invalid
from tests import seq2seq_models
from tests.backends.transformers.running import load, run
from tests.backends.transformers.seq2seq.driving import expected, generator, job, loaded, one, stock_model

ASKED: list[tuple[str, dict[str, Any]]] = [
    ("the old river", {"max_new_tokens": 7}),
    ("once upon a time", {"num_beams": 1, "max_new_tokens": 5, "no_repeat_ngram_size": 1}),
    ("nobody knew", {"num_beams": 2, "stop": ["zz"]}),
]


def test_answers_are_the_same_as_token_by_token(folder_of: Callable[[str], Path]) -> None:
    folder = folder_of("bart")
    whole, stepped = WholeTexts(loaded(folder), Conf()), generator(folder)
    assert not whole.description.streams
    assert run(whole, ASKED) == run(stepped, ASKED)
    drawn = ("the old river", {"do_sample": True, "seed": 4, "max_new_tokens": 9, "temperature": 5.0})
    first, second, other = run(whole, [drawn, drawn, (drawn[0], drawn[1] | {"seed": 5})])
    assert first == second != other


def test_the_cost_of_a_text_is_counted_in_steps(folder_of: Callable[[str], Path]) -> None:
    whole = WholeTexts(loaded(folder_of("bart")), Conf())
    item = one(whole, job("the old river", max_new_tokens=20, stop=["\x1c"], num_beams=1))
    assert item.tokens == 20
    assert (item.input_tokens, item.truncated) == (len(item.text.source), False)
    long = one(whole, job("the old river " * 50, truncate=True, num_beams=1))
    assert (long.input_tokens, long.truncated) == (64, True)
    item.stop()
    whole.run([item])
    assert item.tokens == 1


def test_a_setting_that_is_not_implemented_is_told_and_left_to_generate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = seq2seq_models.bart(tmp_path, do_sample=True)
    with caplog.at_level(logging.WARNING):
        made = load(folder, threads=1)
    assert isinstance(made, WholeTexts)
    assert "does not stream: its generation configuration draws tokens for beams" in caplog.text
    [answer] = run(made, [("the old river", {"max_new_tokens": 3})])
    assert answer[0]["generated_text"]


def test_a_model_whose_texts_would_differ_is_left_to_generate(
    folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as one whose positions are wrong for rows that are padded."""
    monkeypatch.setattr("inference.backends.transformers.seq2seq.decoder.RowPositions", _Wrong)
    folder = folder_of("bart")
    kept = loaded(folder)
    with caplog.at_level(logging.WARNING):
        assert self_check.continuous(kept, Conf(), lambda progress: None) is None
    assert "its texts would differ from those of the stock model" in caplog.text
    model = kept.pipe.model
    assert model.config._attn_implementation == "sdpa"
    assert type(model.get_decoder().embed_positions).__name__ == "BartLearnedPositionalEmbedding"
    whole = WholeTexts(kept, Conf())
    item = one(whole, job("the old river"))
    assert json.loads(cast("bytes", whole.run([item])[0])) == item.text.answer(expected(stock_model(folder), item.text))


class _Wrong(RowPositions):
    positions: Any

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if self.positions is not None:
            self.positions = self.positions + 3
        return super().forward(*args, **kwargs)


def test_too_long_a_text_is_refused(folder_of: Callable[[str], Path]) -> None:
    with pytest.raises(Invalid, match="this model takes at most 64"):
        one(WholeTexts(loaded(folder_of("bart")), Conf()), job("river " * 100))
