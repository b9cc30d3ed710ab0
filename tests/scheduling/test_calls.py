import asyncio
from typing import Any

import pytest

from inference.errors import Cancelled, InferenceError, InferenceFailed, Invalid, Overloaded
from inference.messaging.messages import Generation, Result, Token
from inference.scheduling.calls import NO_EVENTS, Answer, Call, Events, PendingJob, Work


def make_call(number: int = 3, events: Events = NO_EVENTS, **fields: Any) -> Call:
    """A call with its jobs, as the dispatcher makes them; job ids are 100 and up."""
    known: dict[str, Any] = {
        "request_id": "r",
        "inputs": [f"text {index}" for index in range(number)],
        "parameters": {"top_k": 3},
        "admitted_at": 10.0,
        "deadline_at": 40.0,
    }
    call = Call(Work(**(known | fields)), events, asyncio.get_running_loop().create_future())
    call.jobs = [PendingJob(100 + index, call, index) for index in range(number)]
    return call


def answer(output: bytes = b"{}", worker: str = "w") -> Answer:
    return Answer(Result(0, output, 1.0, 2.0, 3), worker, waited_ms=4.0, times_sent=1)


def outputs(call: Call) -> list[bytes]:
    return [given.result.output for given in call.answers if isinstance(given, Answer)]


async def test_a_call_is_settled_when_every_input_is_answered():
    call = make_call(2)
    settled = []
    for job in call.jobs:
        call.answer(job, answer())
        settled.append(call.settled)
    assert settled == [False, True]
    assert call.future.result() is None


async def test_answers_are_in_the_order_of_the_inputs_whatever_the_order_they_came_in():
    call = make_call(3)
    for index in (2, 0, 1):
        call.answer(call.jobs[index], answer(b"%d" % index))
    assert outputs(call) == [b"0", b"1", b"2"]


async def test_a_job_says_that_its_vectors_are_wanted_as_arrays():
    assert [make_call(1, arrays=arrays).jobs[0].as_job(10.0).arrays for arrays in (True, False)] == [True, False]


async def test_the_first_answer_of_a_job_wins():
    call = make_call(2)
    call.answer(call.jobs[0], answer(b"first"))
    call.answer(call.jobs[0], answer(b"second"))
    assert outputs(call) == [b"first"]
    assert not call.settled


async def test_an_answer_after_the_end_changes_nothing():
    call = make_call(1)
    call.answer(call.jobs[0], answer(b"first"))
    call.answer(call.jobs[0], answer(b"second"))
    assert outputs(call) == [b"first"]


async def test_the_first_error_settles_the_call():
    call = make_call(2)
    call.fail(InferenceFailed("It failed."), call.jobs[0])
    call.answer(call.jobs[1], answer())
    with pytest.raises(InferenceFailed):
        call.future.result()
    assert outputs(call) == []


async def test_a_second_error_changes_nothing():
    call = make_call(2)
    call.fail(InferenceFailed("The first."), call.jobs[1])
    call.fail(Invalid("The second."), call.jobs[0])
    with pytest.raises(InferenceFailed, match=r"^inputs\[1\]: The first\.$"):
        call.future.result()


async def test_an_error_after_the_last_answer_changes_nothing():
    call = make_call(1)
    call.answer(call.jobs[0], answer())
    call.fail(InferenceFailed("Too late."), call.jobs[0])
    assert call.future.exception() is None


async def test_the_index_of_the_failing_input_is_named_among_several():
    call = make_call(3)
    call.fail(Invalid("The input is too long."), call.jobs[2])
    with pytest.raises(Invalid, match=r"^inputs\[2\]: The input is too long\.$"):
        call.future.result()


async def test_a_single_input_needs_no_index():
    call = make_call(1)
    call.fail(Invalid("The input is too long."), call.jobs[0])
    with pytest.raises(Invalid, match=r"^The input is too long\.$"):
        call.future.result()


async def test_an_error_of_the_whole_call_names_no_input():
    call = make_call(3)
    call.fail(InferenceFailed("All of it."))
    with pytest.raises(InferenceFailed, match=r"^All of it\.$"):
        call.future.result()


async def test_naming_the_input_keeps_when_to_retry():
    call = make_call(2)
    call.fail(Overloaded("Later.", retry_after_s=7), call.jobs[1])
    with pytest.raises(InferenceError) as raised:
        call.future.result()
    assert (type(raised.value), raised.value.retry_after_s) == (Overloaded, 7)


async def test_a_job_is_wanted_until_its_answer():
    call = make_call(2)
    call.answer(call.jobs[0], answer())
    assert [job.wanted for job in call.jobs] == [False, True]


async def test_no_job_of_a_failed_call_is_wanted():
    call = make_call(2)
    call.fail(Cancelled("Gone."))
    with pytest.raises(Cancelled):
        call.future.result()
    assert [job.wanted for job in call.jobs] == [False, False]


async def test_no_job_is_wanted_once_the_caller_was_cancelled():
    call = make_call(2)
    call.future.cancel()
    assert [job.wanted for job in call.jobs] == [False, False]
    call.answer(call.jobs[0], answer())
    call.fail(InferenceFailed("Nobody hears this."))
    assert call.future.cancelled()


async def test_what_travels_is_the_input_and_the_time_that_is_left():
    call = make_call(3, deadline_at=40.0)
    job = call.jobs[1].as_job(now=38.5)
    assert (job.id, job.request_id, job.input, job.parameters) == (101, "r", "text 1", {"top_k": 3})
    assert job.time_left_s == 1.5


@pytest.mark.parametrize("alone", [True, False])
async def test_whether_it_runs_alone_travels(alone: bool):
    job = make_call(1).jobs[0]
    job.alone = alone
    assert job.as_job(0.0).alone == alone


async def test_events_are_asked_for_only_with_a_listener():
    assert make_call(1, Events(started=lambda event: None)).jobs[0].as_job(0.0).events
    assert not make_call(1).jobs[0].as_job(0.0).events


async def test_a_list_asks_for_events_of_its_first_input_only():
    jobs = make_call(3, Events(started=lambda event: None)).jobs
    assert [job.as_job(0.0).events for job in jobs] == [True, False, False]


# Tokens


def hearing(*texts: str) -> tuple[PendingJob, list[str]]:
    """A job of a stream, and what its client was told; ``texts`` are its first tokens."""
    told: list[str] = []
    (job,) = make_call(1, Events(token=lambda _, token: told.append(token.text))).jobs
    for index, text in enumerate(texts):
        assert job.accept_token(Token(100, index, 7, text, 0.0))
    return job, told


def result(generated: int) -> Result:
    return Result(100, b"[]", 1.0, 2.0, 3, Generation("length", 1, generated, 1.0, 1.0, None))


async def test_tokens_are_asked_for_only_with_a_listener():
    assert hearing()[0].as_job(0.0).tokens
    assert not make_call(1, Events(started=lambda event: None)).jobs[0].as_job(0.0).tokens


async def test_a_job_that_is_sent_again_brings_the_tokens_that_are_known():
    assert hearing()[0].as_job(0.0).resume == ()
    assert hearing("a", "b")[0].as_job(0.0).resume == (7, 7)


async def test_a_token_that_is_known_is_not_told_again():
    job, told = hearing("a", "b")
    assert job.accept_token(Token(100, 0, 7, "a", 0.0))
    assert told == ["a", "b"]


async def test_a_token_after_a_gap_is_not_told():
    job, told = hearing("a")
    assert not job.accept_token(Token(100, 2, 7, "c", 0.0))
    assert told == ["a"]
    assert job.as_job(0.0).resume == (7,)


@pytest.mark.parametrize(("generated", "right"), [(2, False), (3, True), (4, False)])
async def test_a_result_brings_the_token_after_those_that_were_told(generated: int, right: bool):
    assert hearing("a", "b")[0].completed_by(result(generated)) is right


async def test_any_result_is_right_without_a_listener():
    assert make_call(1).jobs[0].completed_by(result(5))


# Parts of a list


async def test_where_a_part_is_wanted_an_error_takes_the_place_of_an_answer():
    call = make_call(3, partial=True)
    error = InferenceFailed("It failed.")
    call.answer(call.jobs[0], answer(b"0"))
    call.fail(error, call.jobs[1])
    call.answer(call.jobs[1], answer(b"late"))
    assert not call.settled
    call.answer(call.jobs[2], answer(b"2"))
    assert call.future.result() is None
    assert call.answers[1] is error
    assert outputs(call) == [b"0", b"2"]


async def test_what_ends_a_call_leaves_the_answers_that_there_are():
    call = make_call(2, partial=True)
    call.answer(call.jobs[1], answer(b"1"))
    call.fail(late := Overloaded("Too late."))
    assert call.future.result() is None
    assert call.answers[0] is late
    assert outputs(call) == [b"1"]


async def test_without_any_answer_the_call_fails():
    call = make_call(2, partial=True)
    call.fail(Invalid("Wrong."), call.jobs[0])
    call.fail(Overloaded("Too late."))
    with pytest.raises(Overloaded):
        call.future.result()


# Choices


async def test_choices_have_their_input_and_seeds_of_their_own():
    call = Call(
        Work(
            request_id="r", inputs=["a", "b"], parameters={"seed": 2**31 - 1}, choices=2, admitted_at=0, deadline_at=1
        ),
        NO_EVENTS,
        asyncio.get_running_loop().create_future(),
    )
    call.make_jobs(iter(range(9)))
    jobs = [job.as_job(0.0) for job in call.jobs]
    assert [job.input for job in jobs] == ["a", "a", "b", "b"]
    assert [job.parameters["seed"] for job in jobs] == [2**31 - 1, 0, 2**31 - 1, 0]
    call.fail(Invalid("Wrong."), call.jobs[3])
    with pytest.raises(Invalid, match=r"^inputs\[1\]: Wrong\.$"):
        call.future.result()
