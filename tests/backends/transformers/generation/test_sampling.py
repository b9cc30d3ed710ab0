"""The next token against ``generate``'s own processors of scores, and draws that repeat."""

import itertools
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers

from inference.backends.transformers.generation import sampling
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
