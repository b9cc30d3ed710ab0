"""What is too long for a model: refused with limit and count, cut, or read in windows. Models take 48 tokens."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference.backends.base import BatchedPipeline
from inference.errors import Invalid
from tests.backends.transformers.running import Asked, Make, arrays, assert_equal, counts, direct, load, plain, run

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


# What is counted

FULL = first_words(LONGEST - 2)
"""As long as the model takes, and not longer."""


@pytest.mark.parametrize("name", ["text_classification", "feature_extraction", "token_classification"])
def test_tokens_are_counted_as_the_model_reads_them(loaded: Callable[[str], BatchedPipeline], name: str) -> None:
    """With special tokens, after the cut, and without the padding of a batch of all lengths."""
    asked: list[Asked] = [("a boat", {}), ("a boat", CUT), (FULL, CUT), (f"{FULL} a", CUT), (LONG * 50, CUT)]
    assert counts(loaded(name), asked) == [(4, False), (4, False), (48, False), (48, True), (48, True)]


def test_tokens_of_all_sequences_of_an_input_count(loaded: Callable[[str], BatchedPipeline]) -> None:
    compared: dict[str, Any] = {"source_sentence": FULL, "sentences": ["a boat", FULL]}
    longer = compared | {"sentences": ["a boat", f"{FULL} a"]}
    assert counts(loaded("sentence_similarity"), [(compared, CUT), (longer, CUT)]) == [(100, False), (100, True)]
    labels = hypotheses("a boat", "town", hypothesis_template="About {}")  # with "about", and three special tokens
    asked: list[Asked] = [("a boat", labels), (first_words(42), labels | CUT), (first_words(43), labels | CUT)]
    assert counts(loaded("zero_shot_classification"), asked) == [(15, False), (95, False), (96, True)]
    parts: list[Asked] = [(LONG, {"pooling": "mean", "chunk": True})]
    assert counts(loaded("feature_extraction"), parts) == [(8 * 48 + 34, False)]
    windows: list[Asked] = [(first_words(60), {"stride": 10, "aggregation_strategy": "simple"})]
    assert counts(loaded("token_classification"), windows) == [(48 + 2 + 24, False)]


def test_a_mask_is_a_token(loaded: Callable[[str], BatchedPipeline]) -> None:
    asked: list[Asked] = [("a [MASK]", {}), (f"a [MASK] {LONG}", CUT), (f"[MASK] {first_words(45)}", CUT)]
    assert counts(loaded("fill_mask"), asked) == [(4, False), (48, True), (48, False)]


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


# Windows, for token-classification


@pytest.mark.parametrize("strategy", ["simple", "first", "average", "max"])
def test_windows_with_stride_are_those_of_the_stock_pipeline(
    models: Any, folder_of: Callable[[Make], Path], loaded: Callable[[str], BatchedPipeline], strategy: str
) -> None:
    """Also of a text whose last window is short, and of one that needs no windows."""
    stock = direct(folder_of(models.token_classification), "token-classification")
    stock.tokenizer.model_max_length = LONGEST
    ways = [{"aggregation_strategy": strategy, "stride": stride} for stride in (0, 7)]
    asked = [(text, way) for text in (first_words(100), first_words(48), "the old river", LONG) for way in ways]
    for answer, (text, parameters) in zip(run(loaded("token_classification"), asked), asked, strict=True):
        assert_equal(answer, plain(stock(text, **parameters)), f"{parameters} {text}")


def test_windows_without_a_padding_token(models: Any, tmp_path: Path) -> None:
    labels = {0: "O", 1: "B-PER", 2: "B-LOC"}
    folder = models.gpt2(tmp_path / "decoder", "GPT2ForTokenClassification", id2label=labels)
    way = {"aggregation_strategy": "simple", "stride": 5}
    short, long, again = run(load(folder), [("a boat", way), (first_words(20), way), ("a boat", {**way, "stride": 0})])
    assert short == again
    assert max(entity["end"] for entity in long) > 48


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"stride": 4}, "Parameter stride needs an aggregation_strategy other than none"),
        ({"stride": 4, "aggregation_strategy": "none"}, "Parameter stride needs an aggregation_strategy other than"),
        (
            {"stride": 46, "aggregation_strategy": "max"},
            "Parameter stride is 46; a window has 46 tokens of the text, so it must be less.",
        ),
        (
            {"stride": 45, "aggregation_strategy": "max"},
            "The input makes 355 windows of the model's length; it may make 256.",
        ),
        ({"stride": 4, "aggregation_strategy": "max", "truncate": True}, "stride reads all of a text and truncate"),
    ],
    ids=str,
)
def test_a_stride_that_does_not_work_is_refused(
    loaded: Callable[[str], BatchedPipeline], parameters: dict[str, Any], sentence: str
) -> None:
    good, bad = run(loaded("token_classification"), [("a boat", {}), (LONG, parameters)])
    assert isinstance(good, list)
    assert isinstance(bad, Invalid)
    assert bad.message.startswith(sentence)


# Vectors


@pytest.mark.parametrize(
    "parameters", [{}, {"pooling": "mean"}, {"pooling": "cls", "normalize": True, "dimensions": 5}]
)
def test_arrays_have_the_numbers_of_json(loaded: Callable[[str], BatchedPipeline], parameters: dict[str, Any]) -> None:
    """A text for which something is wrong has its error."""
    pipeline = loaded("feature_extraction")
    asked: list[Asked] = [("a boat", parameters), (first_words(20), parameters)]
    vectors = run(pipeline, asked)
    made = arrays(pipeline, asked)
    wanted = (parameters.get("dimensions", 24),) if parameters else (1, 4, 24)
    assert made[0].shape == wanted
    assert len(made[0].data) == 4 * math.prod(wanted)
    for array, expected in zip(made, vectors, strict=True):
        assert_equal(array.tolist(), expected)
    [refused] = arrays(pipeline, [("a boat", {"pooling": "mean", "dimensions": 30})])
    assert isinstance(refused, Invalid)


# Parts, for feature-extraction


def test_the_parts_of_a_text_count_by_their_tokens(loaded: Callable[[str], BatchedPipeline]) -> None:
    """400 words in windows of 46: the vectors of eight full ones, and one of 32."""
    pipeline = loaded("feature_extraction")
    chunk = {"pooling": "mean", "chunk": True}
    words = LONG.split()
    parts = [" ".join(words[first : first + 46]) for first in range(0, len(words), 46)]
    whole, short, *vectors = run(
        pipeline, [(LONG, chunk), ("a boat", chunk), *((part, {"pooling": "mean"}) for part in parts)]
    )
    weights = [48] * 8 + [34]
    assert len(vectors) == len(weights)
    assert whole == pytest.approx(
        [sum(w * x for w, x in zip(weights, column, strict=True)) / 418 for column in zip(*vectors, strict=True)],
        abs=1e-5,
    )
    assert short == pytest.approx(run(pipeline, [("a boat", {"pooling": "mean"})])[0], abs=1e-5)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"chunk": True}, "Parameter chunk needs the pooling mean or model, and pooling is none."),
        ({"chunk": True, "pooling": "cls"}, "Parameter chunk needs the pooling mean or model, and pooling is cls."),
        ({"chunk": True, "pooling": "mean", **CUT}, "chunk reads all of a text and truncate only a part"),
        ({"chunk": False, "pooling": "mean"}, "The input has 402 tokens; this model takes at most 48."),
        ({"dimensions": 3}, "Parameter dimensions is for one vector per input; choose a pooling other than none."),
        ({"dimensions": 30, "pooling": "cls", **CUT}, "Parameter dimensions is 30; vectors of this model have 24"),
        ({"prompt_name": "query"}, "This model has no prompts; leave prompt_name out."),
        ({"pooling": "model"}, "This model has no settings of sentence-transformers (no modules.json); choose"),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused(
    loaded: Callable[[str], BatchedPipeline], parameters: dict[str, Any], sentence: str
) -> None:
    good, bad = run(loaded("feature_extraction"), [("a boat", {}), (LONG, parameters)])
    assert isinstance(good, list)
    assert isinstance(bad, Invalid)
    assert bad.message.startswith(sentence)


def test_fewer_dimensions_are_the_first_ones(loaded: Callable[[str], BatchedPipeline]) -> None:
    pipeline = loaded("feature_extraction")
    whole, cut, unit = run(
        pipeline,
        [
            ("a boat", {"pooling": "mean"}),
            ("a boat", {"pooling": "mean", "dimensions": 4}),
            ("a boat", {"pooling": "mean", "dimensions": 4, "normalize": True}),
        ],
    )
    assert cut == pytest.approx(whole[:4], abs=1e-5)
    size = sum(x * x for x in cut) ** 0.5
    assert unit == pytest.approx([x / size for x in cut], abs=1e-5)


def test_windows_of_one_text_are_limited(loaded: Callable[[str], BatchedPipeline]) -> None:
    [bad] = run(loaded("feature_extraction"), [("stone " * 12_000, {"pooling": "mean", "chunk": True})])
    assert isinstance(bad, Invalid)
    assert bad.message == "The input makes 261 windows of the model's length; it may make 256."
