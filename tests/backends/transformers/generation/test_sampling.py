"""The next token against ``generate``'s own processors of scores, and draws that repeat."""

import itertools
import math
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers

from inference.backends.transformers.generation import sampling
from inference.backends.transformers.generation.adjustments import Adjustments
from inference.backends.transformers.generation.sampling import Sampling, SamplingInput, sample, uniform

VOCABULARY = 3000
KINDS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.4},
    {"top_k": 1},
    {"top_k": 7, "temperature": 2.0},
    {"top_k": 40, "top_p": 0.6},
    {"top_p": 0.9},
    {"top_p": 0.05, "temperature": 3.0},
    {"top_p": 0.999, "temperature": 5.0},  # more than the likeliest 1024
    {"top_k": 10**6},
    {"repetition_penalty": 1.7},
    {"repetition_penalty": 0.6, "top_p": 0.8, "temperature": 0.9},
]


def scores(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(seed)) * 3


def reference(logits: torch.Tensor, text: SamplingInput) -> torch.Tensor:
    """Probabilities as ``generate`` would draw by them."""
    s = text.sampling
    processors = transformers.LogitsProcessorList()
    if s.repetition_penalty != 1:
        processors.append(transformers.RepetitionPenaltyLogitsProcessor(s.repetition_penalty))
    if s.temperature != 1:
        processors.append(transformers.TemperatureLogitsWarper(s.temperature))
    if s.top_k:
        processors.append(transformers.TopKLogitsWarper(s.top_k))
    if s.top_p < 1:
        processors.append(transformers.TopPLogitsWarper(s.top_p))
    processed: torch.Tensor = processors(torch.tensor([text.ids]), logits[None].clone())
    return processed.double().softmax(-1)[0]


def texts(do_sample: bool) -> list[SamplingInput]:
    ids = [3, 5, 5, 8, 2999]
    return [SamplingInput(Sampling(do_sample=do_sample, seed=n, **kind), ids, n) for n, kind in enumerate(KINDS)]


@pytest.mark.parametrize("seed", range(5))
def test_a_mixed_batch_draws_as_generates_processors_have_it(seed: int) -> None:
    logits = scores(len(KINDS), seed)
    for row, (choice, text) in enumerate(zip(sample(logits, texts(do_sample=True)), texts(True), strict=True)):
        probabilities = reference(logits[row], text)
        expected = torch.searchsorted(probabilities.cumsum(-1), uniform(text.sampling.seed, text.position))
        assert choice.token == int(expected), KINDS[row]
        assert choice.logprob == pytest.approx(float(logits[row].log_softmax(-1)[choice.token]), abs=1e-4)


ADJUSTED: list[dict[str, Any]] = [
    {"frequency_penalty": 1.5},
    {},
    {"presence_penalty": 2.0},
    {"frequency_penalty": -0.5, "presence_penalty": 0.75, "logit_bias": {"8": 3, "4": -100.0}},
    {"logit_bias": {"2999": 100, "0": 99.5}},
    {"min_new_tokens": 5},
    {"min_new_tokens": 4, "logit_bias": {"7": 100}},
    {"frequency_penalty": 0.0, "presence_penalty": 0.0, "logit_bias": {}, "min_new_tokens": 0},
    {"frequency_penalty": 1.0, "repetition_penalty": 1.7},
]
IDS, GENERATED, ENDS = [3, 5, 5, 8, 2999, 8, 5, 8, 8], [2999, 8, 5, 8, 8], frozenset({7, 2999})


def plainly(logits: list[float], asked: dict[str, Any]) -> list[float]:
    """A score after the other."""
    adjusted = []
    for token, score in enumerate(logits):
        if token in IDS and (penalty := asked.get("repetition_penalty", 1.0)) != 1:
            score = score * penalty if score < 0 else score / penalty
        times = GENERATED.count(token)
        score -= times * asked.get("frequency_penalty", 0) + (times > 0) * asked.get("presence_penalty", 0)
        score += asked.get("logit_bias", {}).get(str(token), 0)
        if len(GENERATED) < asked.get("min_new_tokens", 0) and token in ENDS:
            score = -math.inf
        adjusted.append(score)
    return adjusted


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("do_sample", [True, False])
def test_scores_are_adjusted_text_by_text(seed: int, do_sample: bool) -> None:
    """What is in the prompt only counts for the repetition penalty, and the temperature comes last."""
    logits = scores(len(ADJUSTED), seed)
    logits[:, [7, 2999]] = logits.max() + torch.tensor([0.5, 1.0])
    texts = [
        SamplingInput(
            Sampling(
                do_sample=do_sample,
                seed=seed,
                temperature=0.7,
                repetition_penalty=asked.get("repetition_penalty", 1.0),
                adjustments=Adjustments.of(asked, ENDS),
            ),
            IDS,
            len(GENERATED),
        )
        for asked in ADJUSTED
    ]
    assert [text.sampling.adjustments is None for text in texts] == [n in (1, 7) for n in range(len(texts))]
    before = logits.clone()
    for row, choice in enumerate(sample(logits, texts)):
        wanted = torch.tensor(plainly(before[row].tolist(), ADJUSTED[row]), dtype=torch.float64)
        token = int(wanted.argmax())
        if do_sample:
            token = int(torch.searchsorted((wanted / 0.7).softmax(-1).cumsum(-1), uniform(seed, len(GENERATED))))
        assert choice.token == token, ADJUSTED[row]
        assert choice.logprob == pytest.approx(float(before[row].log_softmax(-1)[token]), abs=1e-4)
    assert torch.equal(logits, before)


def test_an_end_that_may_not_come_is_never_drawn() -> None:
    """Also where it is all but certain, or wanted."""
    logits = torch.full((1, 4), -5.0)
    logits[0, 2] = 50.0
    adjustments = Adjustments.of({"min_new_tokens": 2, "logit_bias": {"2": 100}}, frozenset({2}))
    drawn = [
        sample(logits, [SamplingInput(Sampling(do_sample=True, seed=seed, adjustments=adjustments), [0] * 9, position)])
        for seed in range(50)
        for position in (0, 1, 2)
    ]
    tokens = [choice.token for [choice] in drawn]
    assert set(tokens[2::3]) == {2}
    assert set(tokens[::3] + tokens[1::3]) == {0, 1, 3}


def test_the_likeliest_tokens_are_told_to_those_who_ask() -> None:
    """By the model's own scores, whatever is drawn by."""
    logits = scores(len(KINDS))
    asked = [0, 3, 1, 20, 0, 5, 2, 0, 1, 7, 2]
    wanted = [
        text._replace(sampling=replace(text.sampling, top_n_tokens=number))
        for text, number in zip(texts(do_sample=True), asked, strict=True)
    ]
    told, silent = sample(logits, wanted), sample(logits, texts(do_sample=True))
    assert [choice.token for choice in told] == [choice.token for choice in silent]
    assert all(choice.top == () for choice in silent)
    for choice, number, row in zip(told, asked, logits.log_softmax(-1), strict=True):
        best = row.topk(number)
        assert [token for token, _ in choice.top] == best.indices.tolist()
        assert [logprob for _, logprob in choice.top] == pytest.approx(best.values.tolist(), abs=1e-4)


def test_the_likeliest_tokens_are_no_more_than_there_are() -> None:
    [choice] = sample(
        torch.tensor([[1.0, 3.0, 2.0]]), [SamplingInput(Sampling(do_sample=False, top_n_tokens=20), [0], 0)]
    )
    assert [token for token, _ in choice.top] == [1, 2, 0]


def test_without_sampling_only_the_penalty_counts() -> None:
    logits = scores(len(KINDS))
    logits[:, 2999] = logits.max() + 0.1  # the best, but for the penalty on what has been said
    for row, (choice, text) in enumerate(zip(sample(logits, texts(do_sample=False)), texts(False), strict=True)):
        assert choice.token == int(reference(logits[row], text).argmax())
    assert len({choice.token for choice in sample(logits, texts(do_sample=False))}) > 1


def test_a_draw_does_not_depend_on_company() -> None:
    logits = scores(len(KINDS))
    together = sample(logits, texts(do_sample=True))
    alone = [sample(logits[row : row + 1], [text])[0] for row, text in enumerate(texts(do_sample=True))]
    assert [choice.token for choice in together] == [choice.token for choice in alone]


def test_draws_follow_the_probabilities() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    drawn = Counter(
        sample(logits, [SamplingInput(Sampling(do_sample=True, seed=seed), [0], index)])[0].token
        for seed, index in itertools.product(range(50), range(40))
    )
    assert [drawn[token] / 2000 for token in range(4)] == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)


def test_a_position_has_its_own_number() -> None:
    numbers = {uniform(seed, index) for seed in range(100) for index in range(100)}
    assert len(numbers) == 10_000
    assert 0 <= min(numbers) <= max(numbers) < 1


def test_where_scores_are_no_numbers_nothing_is_drawn() -> None:
    logits = scores(2)
    logits[1, 5] = float("nan")
    with pytest.raises(ValueError, match="not numbers"):
        sample(logits, [SamplingInput(Sampling(do_sample=True, **kind), [0], 0) for kind in KINDS[:2]])


def test_generates_own_processors_stand_in_for_ours() -> None:
    own = transformers.LogitsProcessorList(
        [transformers.SuppressTokensLogitsProcessor([7]), transformers.MinPLogitsWarper(0.2)]
    )
    logits = scores(1)
    logits[0, 7] = 100
    text = SamplingInput(Sampling(do_sample=True, seed=4, temperature=50.0, processors=own), [1], 0)
    probabilities = own(torch.tensor([[1]]), logits.clone()).double().softmax(-1)[0]
    expected = torch.searchsorted(probabilities.cumsum(-1), uniform(4, 0))
    assert [choice.token for choice in sample(logits, [text])] == [int(expected)]
    assert int(expected) != 7


def test_the_vocabulary_is_sorted_as_a_whole_only_where_it_must_be(monkeypatch: pytest.MonkeyPatch) -> None:
    widths: list[int] = []
    whole = torch.Tensor.topk

    def topk(tensor: torch.Tensor, k: int) -> Any:
        widths.append(k)
        return whole(tensor, k)

    monkeypatch.setattr(torch.Tensor, "topk", topk)
    sample(scores(1), [SamplingInput(Sampling(do_sample=True, top_p=0.5), [0], 0)])
    sample(scores(1) / 1000, [SamplingInput(Sampling(do_sample=True, top_p=0.9), [0], 0)])
    assert widths == [sampling.NUCLEUS, sampling.NUCLEUS, VOCABULARY]
