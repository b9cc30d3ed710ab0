"""What is too long for a model: refused with limit and count, cut, or read in windows. Models take 48 tokens."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference.backends.base import BatchedPipeline
from inference.errors import Invalid
from tests.backends.transformers.running import Make, assert_equal, direct, load, plain, run

LONGEST = 48
WORDS = "the old river runs under a stone bridge while small boats carry bread salt and letters to every quiet town"
LONG = " ".join([WORDS] * 20)
"""400 words, each of them one token."""
CUT = {"truncate": True}
LEFT = CUT | {"truncation_direction": "left"}


@pytest.fixture(scope="module")
def loaded(models: Any, folder_of: Callable[[Make], Path]) -> Callable[[str], BatchedPipeline]:
    pipelines: dict[str, BatchedPipeline] = {}

    def get(name: str) -> BatchedPipeline:
        if name not in pipelines:
            folder = folder_of(getattr(models, "feature_extraction" if name == "sentence_similarity" else name))
            pipelines[name] = load(folder, task=name.replace("_", "-"))
        return pipelines[name]

    return get


def first_words(number: int) -> str:
    return " ".join(LONG.split()[:number])


def last_words(number: int) -> str:
    return " ".join(LONG.split()[-number:])


# truncate


@pytest.mark.parametrize("name", ["text_classification", "feature_extraction", "token_classification"])
def test_a_text_that_is_cut_is_answered_like_its_beginning(loaded: Callable[[str], BatchedPipeline], name: str) -> None:
    """46 words and two special tokens; in a batch with one that is refused and one that is short."""
    pipeline = loaded(name)
    cut, refused, short, beginning = run(
        pipeline, [(LONG, CUT), (LONG, {}), ("a boat", CUT), (first_words(LONGEST - 2), {})]
    )

    assert_equal(cut, beginning)
    assert isinstance(refused, Invalid)
    assert refused.message == "The input has 402 tokens; this model takes at most 48."
    assert_equal(short, run(pipeline, [("a boat", {})])[0])


def test_the_end_may_be_kept_instead(loaded: Callable[[str], BatchedPipeline]) -> None:
    left, right, end, beginning = run(
        loaded("text_classification"),
        [(LONG, LEFT), (LONG, CUT), (last_words(LONGEST - 2), {}), (first_words(LONGEST - 2), {})],
    )
    assert_equal(left, end)
    assert_equal(right, beginning)
    assert left != right


def test_far_too_long_a_text_is_cut_to_the_same(loaded: Callable[[str], BatchedPipeline]) -> None:
    """Most of it is not even tokenised."""
    far, left, cut, end = run(
        loaded("text_classification"),
        [(LONG * 50, CUT), (LONG + (" " + LONG) * 50, LEFT), (LONG, CUT), (LONG, LEFT)],
    )
    assert_equal(far, cut)
    assert_equal(left, end)


def test_of_sentences_to_compare_only_the_long_ones_are_cut(loaded: Callable[[str], BatchedPipeline]) -> None:
    asked = {"source_sentence": LONG, "sentences": [first_words(LONGEST - 2), "a boat", LONG]}
    [answer] = run(loaded("sentence_similarity"), [(asked, CUT)])
    assert answer[0] == answer[2] == pytest.approx(1)
    assert answer[1] < 0.999


def test_a_mask_must_be_in_what_is_left(loaded: Callable[[str], BatchedPipeline]) -> None:
    kept, lost, absent, beginning = run(
        loaded("fill_mask"),
        [
            (f"a [MASK] {LONG}", CUT),
            (f"{LONG} [MASK]", CUT),
            (LONG, CUT),
            (f"a [MASK] {first_words(LONGEST - 4)}", {}),
        ],
    )
    assert_equal(kept, beginning)
    assert isinstance(lost, Invalid)
    assert lost.message == "No [MASK] is in what truncate leaves of the input; send a shorter one."
    assert isinstance(absent, Invalid)
    assert absent.message == "The input has no [MASK]; put one where a word is to be filled in."


# zero-shot-classification


def hypotheses(*labels: str, **more: Any) -> dict[str, Any]:
    return {"candidate_labels": list(labels)} | more


def test_hypotheses_stay_whole(
    models: Any, folder_of: Callable[[Make], Path], loaded: Callable[[str], BatchedPipeline]
) -> None:
    """The stock pipeline cuts a long text without being asked, and only the text."""
    labels = hypotheses("a boat", "a town with a very long name")
    stock = direct(folder_of(models.zero_shot_classification), "zero-shot-classification")
    stock.tokenizer.model_max_length = LONGEST
    cut, refused = run(loaded("zero_shot_classification"), [(LONG, labels | CUT), (first_words(40), labels)])

    assert_equal(cut, plain(stock(LONG, **labels)))
    assert isinstance(refused, Invalid)
    assert refused.message == (
        "The input with a label in its hypothesis_template has 54 tokens; this model takes at most 48."
    )


@pytest.mark.parametrize("more", [{}, CUT])
def test_a_hypothesis_that_leaves_no_room_is_named(
    loaded: Callable[[str], BatchedPipeline], more: dict[str, Any]
) -> None:
    labels = hypotheses("a boat", first_words(45), hypothesis_template="About {}")
    most = hypotheses("a boat", first_words(43), hypothesis_template="About {}")
    good, bad, whole = run(
        loaded("zero_shot_classification"), [("a boat", hypotheses("a")), ("town", labels | more), ("town", most)]
    )
    assert good["labels"] == ["a"]
    assert whole["sequence"] == "town"
    assert isinstance(bad, Invalid)
    assert bad.message == (
        "candidate_labels[1] has 46 tokens with its hypothesis_template; this model takes at most 44."
    )
