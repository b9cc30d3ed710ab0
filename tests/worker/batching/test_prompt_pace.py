"""How much of prompts a step reads, with a model whose steps take 80 ms, and 2.5 ms for each token of a prompt."""

import pytest

from inference.worker.batching.prompt_pace import ALONE_MS, LEAST_TOKENS, SLOWER, PromptPace

DECODE_MS, TOKEN_MS = 80.0, 2.5
BESIDE_MS = (1 + SLOWER) * DECODE_MS


def step_ms(prompt_tokens: int, token_ms: float = TOKEN_MS) -> float:
    return DECODE_MS + prompt_tokens * token_ms


def learnt() -> PromptPace:
    pace = PromptPace()
    for decoding, tokens in ((4, 0), (4, 0), (0, 128), (4, 0), (4, 100)):
        pace.learn(decoding, tokens, step_ms(tokens))
    return pace


def test_a_step_that_reads_beside_running_texts_takes_so_many_times_as_long_as_one_that_does_not():
    tokens = learnt().tokens(4)
    assert tokens is not None
    assert tokens % LEAST_TOKENS == 0
    assert BESIDE_MS - LEAST_TOKENS * TOKEN_MS < step_ms(tokens) <= BESIDE_MS


def test_the_more_prompts_there_are_for_each_running_text_the_longer_a_step_may_take():
    one, four, many = (learnt().tokens(4, unread) or 0 for unread in (4, 16, 1000))
    assert one == learnt().tokens(4)
    assert four == pytest.approx(4 * one, rel=0.1)
    assert step_ms(many) == pytest.approx(ALONE_MS, rel=0.05)


def test_with_nobody_waiting_for_a_token_it_is_bounded_for_newcomers():
    tokens = learnt().tokens(0)
    assert tokens is not None
    assert ALONE_MS - LEAST_TOKENS * TOKEN_MS < step_ms(tokens) <= ALONE_MS


def test_beside_another_pipeline_it_takes_no_longer_than_a_turn():
    assert learnt().tokens(0, 1, 100) == learnt().tokens(4, 1, 100) == LEAST_TOKENS
    assert step_ms(learnt().tokens(4, 1, 160) or 0) == 160


def test_nothing_is_said_before_it_is_known():
    pace = PromptPace()
    assert (pace.tokens(0), pace.tokens(4), pace.token_ms) == (None, None, 0)
    pace.learn(0, 128, step_ms(128))
    assert pace.tokens(0) is not None
    assert pace.tokens(4) is None, "what a step without prompts takes is not known"
    pace.learn(4, 0, DECODE_MS)
    assert step_ms(pace.tokens(4) or 0) < 0.9 * BESIDE_MS, "with care, since few cost more"


def test_what_warm_up_took_is_a_first_guess_that_the_first_prompt_replaces():
    pace = PromptPace([(1, 4, 165.0), (8, 32, 250.0)])
    assert pace.token_ms == pytest.approx(85 / 28)
    pace.learn(4, 0, DECODE_MS)
    pace.learn(0, 128, step_ms(128))
    assert pace.token_ms == pytest.approx(TOKEN_MS, rel=0.02)
    assert PromptPace([(1, 4, 165.0)]).tokens(0) is None
    assert PromptPace([(1, 4, 165.0), (8, 32, 100.0)]).tokens(0) is None, "it was disturbed"


def test_the_last_parts_of_a_long_prompt_take_longer_and_become_shorter():
    """Each token attends to all before it."""
    pace, read, times = learnt(), 0, []
    while read < 8000:
        tokens = pace.tokens(4) or 0
        times.append(step_ms(tokens, TOKEN_MS * (1 + read / 2000)))
        pace.learn(4, tokens, times[-1])
        read += tokens
    assert max(times) < BESIDE_MS + 0.5 * DECODE_MS


def test_a_few_tokens_that_took_long_do_not_count_as_much_as_many():
    pace = learnt()
    before = pace.tokens(4) or 0
    pace.learn(4, 3, step_ms(3) + 60)
    assert (pace.tokens(4) or 0) >= before - 2 * LEAST_TOKENS
