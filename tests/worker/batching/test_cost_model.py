import random

import pytest

from inference.worker.batching.cost_model import CostEstimate


def test_warm_up_gives_fixed_cost_and_cost_per_token():
    model = CostEstimate([(1, 10, 6), (1, 100, 15), (1, 1000, 105)]).model
    assert [model.fixed_ms, model.per_job_ms, model.per_token_ms] == pytest.approx([5, 0, 0.1])


def test_a_time_per_job_is_told_from_a_time_per_token():
    """Short texts come in large batches: without the term, their heads and decoding would look like a fixed cost."""
    estimate = CostEstimate([(1, 10, 5.8), (8, 80, 12), (8, 400, 36), (1, 200, 20.3)])
    rng = random.Random(1)
    for _ in range(400):
        jobs, length = rng.randrange(1, 32), rng.randrange(5, 60)
        estimate.learn(jobs, jobs * length, 4 + 0.3 * jobs + 0.07 * jobs * length, 1)
    model = estimate.model
    assert [model.fixed_ms, model.per_job_ms, model.per_token_ms] == pytest.approx([4, 0.3, 0.07], rel=0.1)


def test_nothing_known_predicts_nothing():
    assert CostEstimate().model.predict_ms(1, 100) == 0


def test_batches_of_one_size_put_all_cost_into_tokens():
    model = CostEstimate([(1, 100, 20), (1, 100, 20)]).model
    assert model.fixed_ms == 0
    assert model.per_token_ms == pytest.approx(0.2)


def test_batches_that_all_cost_the_same_have_no_cost_per_token():
    model = CostEstimate([(1, 10, 50), (1, 1000, 50)]).model
    assert (model.fixed_ms, model.per_token_ms) == (50, 0)


def test_a_prediction_is_never_negative():
    assert CostEstimate([(1, 10, 1), (1, 1000, 1000)]).model.predict_ms(1, 1) >= 0


def test_running_moves_the_estimate_to_what_is_true_now():
    estimate = CostEstimate([(1, 10, 6), (1, 100, 15), (1, 1000, 105)])
    rng = random.Random(1)
    for _ in range(400):
        padded = rng.randrange(10, 1000)
        estimate.learn(1, padded, 8 + 0.2 * padded, 1)
    assert estimate.model.predict_ms(1, 500) == pytest.approx(108, rel=0.02)


def test_one_batch_that_the_machine_held_up_changes_little():
    estimate = CostEstimate([(1, 10, 6), (1, 100, 15), (1, 1000, 105)])
    for _ in range(100):
        for padded in (10, 100, 1000):
            estimate.learn(1, padded, 5 + 0.1 * padded, 1)
    before = estimate.model.predict_ms(1, 100)
    estimate.learn(1, 100, 60_000, 1)
    assert estimate.model.predict_ms(1, 100) < 1.2 * before


def test_a_machine_that_holds_every_third_batch_up_does_not_look_like_a_fixed_cost():
    """Small batches suffer most in proportion; the policy would pad them into large ones."""
    estimate = CostEstimate([(1, 10, 6), (1, 100, 15), (1, 1000, 105)])
    rng = random.Random(1)
    for number in range(600):
        padded = rng.randrange(10, 1000)
        estimate.learn(1, padded, 5 + 0.1 * padded + (15 if number % 3 == 0 else 0), 1)
    assert estimate.model.fixed_ms < 8


def test_time_per_job_follows_the_batches():
    estimate = CostEstimate([(1, 10, 6), (1, 1000, 105)])
    for _ in range(50):
        estimate.learn(32, 320, 50, 64)
    assert estimate.job_ms == pytest.approx(2, rel=0.05)


def test_a_pause_of_the_machine_hardly_changes_the_time_per_job():
    """Requests would be refused for a predicted wait until a hundred more jobs have run."""
    estimate = CostEstimate([(1, 10, 6), (1, 1000, 105)])
    before = estimate.job_ms
    for _ in range(3):
        estimate.learn(1, 10, 6, 2_000)
    assert estimate.job_ms < 1.25 * before


def test_the_time_per_job_follows_a_machine_that_became_much_slower():
    estimate = CostEstimate([(1, 10, 6), (1, 1000, 105)])
    for _ in range(40):
        estimate.learn(32, 320, 50, 3_200)
    assert estimate.job_ms == pytest.approx(100, rel=0.05)


def test_jobs_that_came_one_by_one_say_how_long_a_queue_of_them_takes():
    """20 ms of a batch's 20.5 are its own, so 32 of them take 36 ms and not 656."""
    estimate = CostEstimate([(1, 10, 20.5), (32, 320, 36)], full_batch=32)
    for _ in range(200):
        estimate.learn(1, 10, 20.5, 41)
    assert estimate.job_ms == pytest.approx(2 * 36 / 32, rel=0.05)


def test_where_nothing_is_batched_a_job_takes_the_time_of_its_batch():
    estimate = CostEstimate([(1, 10, 20.5), (1, 320, 36)])
    for _ in range(200):
        estimate.learn(1, 10, 20.5, 41)
    assert estimate.job_ms == pytest.approx(41, rel=0.05)
