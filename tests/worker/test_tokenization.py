from hypothesis import given
from hypothesis import strategies as st

from inference.messaging.messages import Job
from inference.worker.item import Item
from inference.worker.tokenization import CALL_CHARS, CALL_JOBS, first_call


def item(number: int, chars: int) -> Item:
    text = "x" * chars
    job = Job(id=number, request_id="r", input=text, parameters={}, time_left_s=60.0)
    return Item(("inference.web.a", number), job, 0.0)


@given(st.lists(st.integers(0, 1000) | st.integers(0, 2 * CALL_CHARS), max_size=50))
def test_a_call_has_the_oldest_jobs_within_its_bounds(lengths: list[int]):
    arrived = [item(number, chars) for number, chars in enumerate(lengths)]
    chosen = first_call(arrived)
    assert chosen == arrived[: len(chosen)]
    assert bool(chosen) == bool(arrived)
    assert len(chosen) <= CALL_JOBS
    assert len(chosen) <= 1 or sum(one.chars for one in chosen) <= CALL_CHARS
    if len(chosen) < min(len(arrived), CALL_JOBS):
        assert sum(one.chars for one in arrived[: len(chosen) + 1]) > CALL_CHARS


def test_an_input_larger_than_a_call_has_one_of_its_own():
    first, second = item(1, CALL_CHARS + 1), item(2, 1)
    assert first_call([first, second]) == [first]
