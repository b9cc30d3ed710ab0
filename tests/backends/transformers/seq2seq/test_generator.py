"""Continuous batching of encoder-decoder models: what comes out is what ``generate`` makes of each text by itself."""

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from inference.backends.base import Generated
from inference.backends.transformers.seq2seq.generator import SOURCE_TOKENS, Seq2SeqGenerator
from tests.backends.transformers.seq2seq.driving import NORMALIZER, expected, finish, generator, job, one, stock_model
from tests.seq2seq_models import sentences

pytestmark = pytest.mark.filterwarnings(NORMALIZER)

FAMILIES: dict[str, dict[str, Any]] = {
    "t5": {},
    "bart": {},
    "marian": {},
    "mbart": {"tgt_lang": "fr_XX", "src_lang": "de_DE"},
    "m2m100": {"tgt_lang": "fr"},
}
SAMPLED: dict[str, Any] = {"do_sample": True, "num_beams": None, "temperature": 3.0, "top_k": 50}


@pytest.fixture(scope="module")
def _bart(folder_of: Callable[[str], Path]) -> Seq2SeqGenerator:
    return generator(folder_of("bart"))


@pytest.fixture
def bart(_bart: Seq2SeqGenerator) -> Iterator[Seq2SeqGenerator]:
    yield _bart
    _bart.retain(())
    assert not _bart._batches


def draw(chance: random.Random) -> dict[str, Any]:
    """Parameters of many kinds, half of them with beams."""
    drawn: dict[str, Any] = {
        "max_new_tokens": chance.randint(1, 16),
        "num_beams": chance.choice((None, 1, 1, 2, 3)),
        "no_repeat_ngram_size": chance.choice((None, 1, 2)),
        "length_penalty": chance.choice((None, None, -1.0, 0.5)),
        "early_stopping": chance.choice((None, None, True)),
        "repetition_penalty": chance.choice((None, None, 1.5)),
        "min_length": chance.choice((None, None, 5)),
    }
    return drawn


@pytest.mark.parametrize("name", FAMILIES)
def test_texts_that_come_and_go_at_random_times_are_those_of_generate(
    name: str, folder_of: Callable[[str], Path]
) -> None:
    made, chance = generator(folder_of(name)), random.Random(name)
    texts = [
        one(made, job(sentence, number, **FAMILIES[name], **draw(chance)))
        for number, sentence in enumerate(sentences(14))
    ]
    courses = finish(made, texts, chance)
    stock = stock_model(folder_of(name))
    for text, course in zip(texts, courses, strict=True):
        wanted = expected(stock, text)
        assert text.ids == wanted, text.job.parameters
        if text.width == 1 and name != "m2m100":  # special ones that it writes are in its texts
            written = b"".join(step.data for step in course.made if not step.special).decode(errors="replace")
            assert written.strip() == course.text.strip()
        assert course.last.finish_reason == ("eos_token" if wanted[-1] == text.config.eos_token_id else "length")
        [answer] = json.loads(course.last.output)
        assert [course.text] == list(answer.values())
        assert len(course.made) == (len(wanted) - 1 if text.beams is None else 1)
        assert course.last.index == len(wanted) - 2
    assert not made._batches
    assert len({tuple(text.ids) for text in texts}) > 6, "a model that says the same of everything tests nothing"


# Streams


def test_the_pieces_of_a_text_make_the_answer(bart: Seq2SeqGenerator) -> None:
    text = one(bart, job("the old river", no_repeat_ngram_size=1))
    [course] = finish(bart, [text])
    assert len(course.made) == 12
    assert [made.index for made in course.made] == list(range(12))
    assert [{"generated_text": course.text}] == json.loads(course.last.output)
    assert all(made.logprob < 0 and not made.output for made in course.made[:-1])


def test_a_text_ends_after_a_stop_string(bart: Seq2SeqGenerator) -> None:
    whole = finish(bart, [one(bart, job(no_repeat_ngram_size=1))])[0]
    stop = whole.made[4].text + whole.made[5].text
    [course] = finish(bart, [one(bart, job(no_repeat_ngram_size=1, stop=[stop]))])
    assert course.text == whole.text[: whole.text.index(stop) + len(stop)]
    assert course.last.finish_reason == "stop_sequence"


def test_beams_end_with_a_stop_string(bart: Seq2SeqGenerator, folder_of: Callable[[str], Path]) -> None:
    settings: dict[str, Any] = {"no_repeat_ngram_size": 1, "num_beams": 3, "min_length": 0}
    [whole] = finish(bart, [one(bart, job(**settings))])
    stop = re.findall("[a-z]{2}", whole.text)[0]
    text = one(bart, job(**settings, stop=[stop]))
    [course] = finish(bart, [text])
    assert text.ids == expected(stock_model(folder_of("bart")), text, bart._requests._decoder)  # type: ignore[attr-defined]
    assert (course.last.finish_reason, stop in course.text) == ("stop_sequence", True)


# Sampling


def test_a_drawn_text_depends_on_its_seed_and_not_on_its_neighbours(bart: Seq2SeqGenerator) -> None:
    def drawn(seed: int) -> Any:
        return one(bart, job("the old river", seed=seed, **SAMPLED))

    alone = [finish(bart, [drawn(seed)])[0].tokens for seed in (1, 2)]
    others = [one(bart, job(text, num_beams=number % 3 + 1)) for number, text in enumerate(sentences(6))]
    together = finish(bart, [others[0], drawn(1), *others[1:4], drawn(2), *others[4:]], random.Random(5))
    assert [together[1].tokens, together[5].tokens] == alone
    assert alone[0] != alone[1]


def test_a_resumed_text_goes_on_beside_others(bart: Seq2SeqGenerator) -> None:
    """Its tokens so far are read in one step; the rest are the same as without the break."""
    wanted = job("the old river", seed=3, **SAMPLED)
    [whole] = finish(bart, [one(bart, wanted)])
    texts = [one(bart, job("the old river", 1, whole.tokens[:5], seed=3, **SAMPLED)), one(bart, job("once", 2))]
    resumed, _ = finish(bart, texts)
    assert resumed.tokens == whole.tokens[5:]
    assert resumed.last.output == whole.last.output
    assert resumed.made[0].index == 5


# Steps


def test_a_text_that_leaves_does_not_change_the_others(bart: Seq2SeqGenerator) -> None:
    texts = [one(bart, job(text, number, num_beams=number % 2 + 1)) for number, text in enumerate(sentences(6))]
    alone = [finish(bart, [one(bart, text.job)])[0].text for text in texts]
    for _ in range(3):
        bart.step(texts)
    left = texts[1:3] + texts[4:]
    bart.retain(left)
    bart.step(left)
    assert {text for batch in bart._batches for text in batch.texts} == set(left)
    rows = sum(batch.own.layers[0].keys.shape[0] for batch in bart._batches)
    assert rows == sum(text.width for text in left)
    courses: dict[Any, Generated] = {}
    while running := [text for text in left if text not in courses]:
        bart.retain(running)
        for text, outcome in zip(running, bart.step(running), strict=True):
            if isinstance(outcome, Generated) and outcome.finish_reason:
                courses[text] = outcome
    assert [json.loads(courses[text].output)[0]["generated_text"] for text in left] == [
        alone[texts.index(text)] for text in left
    ]


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("part", ["self_attn", "fc2"])
def test_a_step_that_fails_leaves_everything_as_it_was(
    bart: Seq2SeqGenerator, monkeypatch: pytest.MonkeyPatch, layer: int, part: str
) -> None:
    """Whether keys and values of the step are in the cache by then or not."""
    texts = [one(bart, job(text, number, num_beams=number % 2 + 1)) for number, text in enumerate(sentences(5))]
    alone = [finish(bart, [one(bart, text.job)])[0].text for text in texts]
    for _ in range(2):
        bart.step(texts[:4])
    before = [[*map(list, text.rows)] for text in texts]

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("out of luck")

    with monkeypatch.context() as broken:
        broken.setattr(getattr(bart._decoder.model.get_decoder().layers[layer], part), "forward", fail)
        for some in (texts, texts[:2], texts[4:], texts[1:3]):
            with pytest.raises(RuntimeError, match="out of luck"):
                bart.step(some)
    assert [[*map(list, text.rows)] for text in texts] == before
    assert [text.running for text in texts] == [True, True, True, True, False]
    got = {}
    running = list(texts)
    while running:
        bart.retain(running)
        for text, outcome in zip(list(running), bart.step(running), strict=True):
            if isinstance(outcome, Generated) and outcome.finish_reason:
                got[text] = json.loads(outcome.output)[0]["generated_text"]
                running.remove(text)
    assert [got[text] for text in texts] == alone


def test_scores_that_are_no_numbers_fail_the_step(bart: Seq2SeqGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    for settings in ({"num_beams": 2}, SAMPLED):
        text = one(bart, job(**settings))
        with monkeypatch.context() as broken:
            broken.setattr(bart._decoder.model.lm_head, "forward", lambda x: torch.full((*x.shape[:2], 294), torch.nan))
            with pytest.raises(ValueError, match="not numbers"):
                bart.step([text])
        assert not text.running


def test_sources_are_read_a_few_at_a_time(bart: Seq2SeqGenerator) -> None:
    """Those that wait have no outcome; ``step_tokens`` counts what is computed."""
    long = max(sentences(20), key=len)
    texts = [one(bart, job(long, number)) for number in range(9)]
    size = texts[0].source_tokens
    assert size > SOURCE_TOKENS // 9
    assert bart.step_tokens(texts, 2 * size) == 2 * size
    assert [outcome is not None for outcome in bart.step(texts, 2 * size)] == [True] * 2 + [False] * 7
    fits = SOURCE_TOKENS // size
    assert bart.step_tokens(texts) == 2 + fits * size
    assert [outcome is not None for outcome in bart.step(texts)] == [True] * (2 + fits) + [False] * (7 - fits)
    assert bart.step_tokens(texts, 1) == 2 + fits + size, "always one"


def test_the_cache_that_texts_need_counts_padding_and_beams(bart: Seq2SeqGenerator) -> None:
    short, long = one(bart, job("a", max_new_tokens=3)), one(bart, job("once upon a time", max_new_tokens=9))
    searched = one(bart, job("a", num_beams=3, max_new_tokens=5))
    assert bart.cache_tokens([short]) == short.source_tokens + 4
    assert bart.cache_tokens([short, long]) == 2 * (long.source_tokens + 10)
    assert bart.cache_tokens([short, searched]) == bart.cache_tokens([short]) + short.source_tokens + 3 * 6


def test_the_cache_holds_no_more_than_that(bart: Seq2SeqGenerator) -> None:
    """Columns are cut when the longest text has left, and grow by a few at a time."""
    long, short = one(bart, job("once upon a time", max_new_tokens=12)), one(bart, job("a", max_new_tokens=20))
    for _ in range(11):
        bart.step([long])
    bart.step([long, short])
    bart.retain([short])
    bart.step([short])
    bart.step([short])
    [batch] = bart._batches
    assert batch.texts == [short]
    assert batch.columns == short.cached == len(short.ids) - 1
    assert batch.source_tokens == short.source_tokens


def test_closing_frees_everything_and_leaves_the_model_as_it_was(folder_of: Callable[[str], Path]) -> None:
    made = generator(folder_of("marian"))
    model = made._decoder.model
    made.step([one(made, job())])
    made.close()
    assert not vars(made)
    assert type(model.get_decoder().embed_positions).__name__ == "MarianSinusoidalPositionalEmbedding"
    assert model.config._attn_implementation == "sdpa"
