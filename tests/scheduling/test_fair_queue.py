import gc
import itertools
import weakref
from collections import Counter
from concurrent.futures import Future

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.messaging.messages import Result
from inference.scheduling.calls import LOCAL, NO_EVENTS, Answer, Call, Peer, PendingJob, Work
from inference.scheduling.fair_queue import FairQueue
from inference.scheduling.priorities import MOST_PASSED

ANSWER = Answer(Result(0, b"{}", 0.0, 0.0, 1), "w", waited_ms=0.0, times_sent=1)

steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Examples may be slow on a busy machine."""


def make_call(name: str, inputs: int, peer: Peer = LOCAL) -> Call:
    """Its jobs are called a0, a1 and so on. (The future is one that needs no event loop.)"""
    texts = [f"{name}{n}" for n in range(inputs)]
    work = Work(request_id=name, inputs=texts, parameters={}, admitted_at=0.0, deadline_at=60.0, peer=peer)
    call = Call(work, NO_EVENTS, Future())  # type: ignore[arg-type]
    call.jobs = [PendingJob(n, call, n) for n in range(inputs)]
    return call


def waiting_for(*calls: Call) -> FairQueue:
    waiting = FairQueue()
    for call in calls:
        waiting.add(call)
    return waiting


def name_of(job: PendingJob) -> str:
    return str(job.call.work.inputs[job.index])


def take(waiting: FairQueue, most: int = 1000) -> list[PendingJob]:
    taken: list[PendingJob] = []
    while len(taken) < most and (job := waiting.take()) is not None:
        taken.append(job)
    return taken


def put_back(waiting: FairQueue, jobs: list[PendingJob]) -> None:
    for job in jobs:
        waiting.put_back(job)


def names(jobs: list[PendingJob]) -> list[str]:
    return [name_of(job) for job in jobs]


# Turns


def test_nothing_waits_at_first():
    assert FairQueue().take() is None


def test_the_jobs_of_a_call_come_in_the_order_of_its_inputs():
    assert names(take(waiting_for(make_call("a", 3)))) == ["a0", "a1", "a2"]


def test_calls_take_turns():
    waiting = waiting_for(make_call("a", 3), make_call("b", 1), make_call("c", 2))
    assert names(take(waiting)) == ["a0", "b0", "c0", "a1", "c1", "a2"]


def test_a_call_of_a_thousand_does_not_hold_up_the_next_one():
    waiting = waiting_for(make_call("a", 1000), make_call("b", 1))
    assert names(take(waiting, 2)) == ["a0", "b0"]


def test_a_new_call_joins_at_the_end_of_the_round():
    waiting = waiting_for(make_call("a", 3), make_call("b", 3))
    assert names(take(waiting, 1)) == ["a0"]
    waiting.add(make_call("c", 2))
    assert names(take(waiting)) == ["b0", "a1", "c0", "b1", "a2", "c1", "b2"]


@steady
@given(st.lists(st.integers(1, 6), max_size=6))
def test_between_two_turns_of_a_call_every_other_one_has_one(sizes: list[int]):
    order = names(take(waiting_for(*(make_call("abcdef"[n], size) for n, size in enumerate(sizes)))))
    turns = {call: [n for n, name in enumerate(order) if name[0] == call] for call in "abcdef"}
    for own in turns.values():
        for start, end in itertools.pairwise(own):
            between = [name[0] for name in order[start + 1 : end]]
            assert len(between) == len(set(between))


def test_many_requests_at_once_give_an_address_one_turn():
    waiting = waiting_for(*(make_call("a", 1, Peer("greedy", n)) for n in range(300)), make_call("b", 2, Peer("other")))
    assert names(take(waiting, 4)) == ["a0", "b0", "a0", "b1"]


def test_connections_of_one_address_take_turns():
    """They may be different users behind one proxy."""
    greedy = [make_call("a", 100, Peer("proxy", 1)) for _ in range(3)]
    waiting = waiting_for(*greedy, make_call("b", 2, Peer("proxy", 2)))
    assert names(take(waiting, 4)) == ["a0", "b0", "a0", "b1"]


def test_a_discarded_call_leaves_nothing_behind():
    call, other = make_call("a", 2, Peer("x", 1)), make_call("b", 1, Peer("x", 1))
    waiting = waiting_for(call, other)
    waiting.discard(call)
    waiting.discard(call)
    assert names(take(waiting)) == ["b0"]
    waiting.discard(other)
    assert not waiting._priorities


peers = st.tuples(st.sampled_from("xyz"), st.integers(0, 2)).map(lambda place: Peer(*place))


@steady
@given(st.lists(st.tuples(peers, st.integers(1, 8)), max_size=12))
def test_waiting_clients_get_equal_turns(asked: list[tuple[Peer, int]]):
    """At every moment, an address that still waits has had at most one turn less than any other; so has, within an
    address, each connection."""
    waiting = waiting_for(*(make_call("a", inputs, peer) for peer, inputs in asked))
    order = [job.call.work.peer for job in take(waiting)]
    for moment in range(len(order)):
        before, still = order[:moment], order[moment:]
        turns = Counter(peer.owner for peer in before)
        assert all(turns[peer.owner] >= max(turns.values(), default=0) - 1 for peer in still)
        for address in "xyz":
            own = Counter(peer.connection for peer in before if peer.owner == address)
            waiting_still = {peer.connection for peer in still if peer.owner == address}
            assert all(own[connection] >= max(own.values(), default=0) - 1 for connection in waiting_still)


def with_key(owner: str, key: str, connection: int = 0, priority: int = 5) -> Peer:
    return Peer("10.0.0.1", connection).with_key(owner, key, priority)


def test_keys_buy_no_turns_and_take_turns_within_their_owner():
    many = [make_call("a", 2, with_key("acme", f"key{n}")) for n in range(10)]
    one = make_call("b", 4, with_key("bolt", "only"))
    order = take(waiting_for(*many, one), 8)
    assert names(order) == ["a0", "b0", "a0", "b1", "a0", "b2", "a0", "b3"]
    assert len({job.call.work.peer.key for job in order}) == 5


def test_connections_of_a_key_take_turns_also_those_of_two_addresses_with_one_port():
    here, there = (Peer(address, 80).with_key("acme", "k", 5) for address in ("10.0.0.1", "10.0.0.2"))
    assert names(take(waiting_for(make_call("a", 3, here), make_call("b", 1, there)), 2)) == ["a0", "b0"]


# Priorities


def test_jobs_of_a_higher_priority_come_first():
    waiting = waiting_for(make_call("a", 2), make_call("b", 2, with_key("acme", "k", priority=9)))
    assert names(take(waiting)) == ["b0", "b1", "a0", "a1"]


def test_what_comes_back_comes_first_also_before_a_higher_priority():
    waiting = waiting_for(make_call("a", 2))
    put_back(waiting, take(waiting, 1))
    waiting.add(make_call("b", 1, with_key("acme", "k", priority=9)))
    assert names(take(waiting)) == ["a0", "b0", "a1"]


def test_a_lower_priority_has_a_turn_after_those_that_pass_it():
    waiting = waiting_for(make_call("a", 2), make_call("b", 100, with_key("acme", "k", priority=6)))
    order = names(take(waiting, 2 * MOST_PASSED + 2))
    assert [n for n, name in enumerate(order) if name[0] == "a"] == [MOST_PASSED, 2 * MOST_PASSED + 1]


def test_a_turn_counts_only_if_its_job_was_still_wanted():
    high, low = make_call("b", 100, with_key("acme", "k", priority=6)), make_call("a", 3)
    waiting = waiting_for(high, low)
    take(waiting, MOST_PASSED)
    waiting.withdraw(low.jobs[0])
    assert names(take(waiting, 1)) == ["a1"]


def test_a_last_job_is_a_turn_of_its_priority_too():
    first, low = (
        make_call("b", 1, with_key("acme", "k", priority=9)),
        make_call("a", 3, with_key("acme", "k", priority=0)),
    )
    waiting = waiting_for(low, first)
    take(waiting, 1)
    waiting.add(make_call("b", 100, with_key("acme", "k", priority=9)))
    assert names(take(waiting, MOST_PASSED)) == [f"b{n}" for n in range(MOST_PASSED - 1)] + ["a0"]


LONGEST_WAIT = MOST_PASSED + 9


@settings(steady, max_examples=40)
@given(st.data())
def test_each_priority_that_has_jobs_has_one_of_25_turns(data: st.DataObject):
    """Whatever comes, and whenever; and the highest one has all turns but those."""
    waiting, has_jobs, since = FairQueue(), Counter[int](), Counter[int]()
    for _ in range(data.draw(st.integers(1, 30))):
        priority = data.draw(st.integers(0, 9))
        waiting.add(make_call("a", data.draw(st.integers(1, 40)), with_key("acme", "k", priority=priority)))
        has_jobs[priority] += len(waiting) - sum(has_jobs.values())
        for job in take(waiting, data.draw(st.integers(0, 60))):
            taken = job.call.work.peer.priority
            waited = {p for p in has_jobs if p != taken and since[p] >= MOST_PASSED}
            assert taken == max(has_jobs) or since[taken] >= MOST_PASSED
            assert not waited or since[taken] >= MOST_PASSED
            since.update(p for p in has_jobs if p != taken)
            since[taken] = 0
            has_jobs[taken] -= 1
            if not has_jobs[taken]:
                del has_jobs[taken], since[taken]
            assert all(since[p] < LONGEST_WAIT for p in has_jobs)


def test_all_ten_priorities_are_served_within_the_bound_when_they_come_together():
    waiting = waiting_for(*(make_call("a", 300, with_key("acme", "k", priority=p)) for p in range(10)))
    order = [job.call.work.peer.priority for job in take(waiting, 400)]
    for start in range(len(order) - LONGEST_WAIT):
        assert set(order[start : start + LONGEST_WAIT]) == set(range(10)), start


# Jobs that are put back


def test_jobs_that_come_back_go_to_the_head_in_their_order():
    waiting = waiting_for(make_call("a", 2), make_call("b", 2))
    first, second, _ = take(waiting, 3)
    put_back(waiting, [first, second])
    assert names(take(waiting)) == ["a0", "b0", "b1"]


def test_what_comes_back_goes_in_the_order_of_admission_however_it_comes():
    """Otherwise the newest would run first after a loss or a drain, and the oldest would be too late."""
    waiting = waiting_for(make_call("a", 5))
    jobs = take(waiting, 4)
    for job in (jobs[1], jobs[3], jobs[0], jobs[2]):
        waiting.put_back(job)
    assert names(take(waiting)) == ["a0", "a1", "a2", "a3", "a4"]


def test_a_suspect_that_may_have_ended_a_worker_alone_goes_after_those_in_its_company():
    waiting = waiting_for(make_call("a", 3))
    jobs = take(waiting)
    jobs[0].losses = 1
    put_back(waiting, jobs)
    assert names(take(waiting)) == ["a1", "a2", "a0"]


def test_the_length_is_the_number_of_waiting_jobs():
    call = make_call("a", 4)
    waiting = waiting_for(call, make_call("b", 1))
    assert len(waiting) == 5
    jobs = [job for job in take(waiting, 4) if job.call is call]
    assert len(waiting) == 1
    put_back(waiting, jobs)
    assert len(waiting) == 1 + len(jobs)
    waiting.withdraw(jobs[0])
    waiting.withdraw(jobs[0])
    assert len(waiting) == len(jobs)
    waiting.discard(call)
    assert len(waiting) == len(take(waiting))


def test_a_job_that_comes_back_twice_is_taken_once():
    waiting = waiting_for(make_call("a", 2))
    jobs = take(waiting)
    put_back(waiting, jobs)
    put_back(waiting, jobs)
    put_back(waiting, [jobs[1], jobs[1]])
    assert names(take(waiting)) == ["a0", "a1"]


def test_a_job_that_never_left_does_not_come_back():
    call = make_call("a", 2)
    waiting = waiting_for(make_call("b", 1), call)
    put_back(waiting, call.jobs)
    assert names(take(waiting)) == ["b0", "a0", "a1"]


def test_a_job_can_come_back_as_often_as_it_was_taken():
    waiting = waiting_for(make_call("a", 1))
    for _ in range(3):
        (job,) = take(waiting)
        assert not job.waiting
        put_back(waiting, [job])
        assert job.waiting
    assert names(take(waiting)) == ["a0"]


# Jobs that are no longer wanted


def test_an_answered_job_is_skipped():
    call = make_call("a", 3)
    waiting = waiting_for(call)
    call.answer(call.jobs[1], ANSWER)
    assert names(take(waiting)) == ["a0", "a2"]


def test_the_jobs_of_a_settled_call_are_skipped():
    call = make_call("a", 3)
    waiting = waiting_for(call, make_call("b", 1))
    call.future.cancel()
    assert names(take(waiting)) == ["b0"]


def test_an_unwanted_job_does_not_come_back():
    waiting = waiting_for(make_call("a", 2))
    jobs = take(waiting)
    jobs[0].call.answer(jobs[0], ANSWER)
    put_back(waiting, jobs)
    assert names(take(waiting)) == ["a1"]


def test_a_job_that_is_answered_after_it_came_back_is_skipped():
    waiting = waiting_for(make_call("a", 2))
    jobs = take(waiting)
    put_back(waiting, jobs)
    jobs[0].call.answer(jobs[0], ANSWER)
    assert names(take(waiting)) == ["a1"]


def test_settled_calls_are_freed_while_no_job_is_taken():
    waiting = FairQueue()
    calls = []
    for _ in range(100):
        call = make_call("a", 2)
        waiting.add(call)
        call.future.cancel()
        waiting.discard(call)
        calls.append(weakref.ref(call))
    del call
    gc.collect()
    assert all(ref() is None for ref in calls)


# All together


@steady
@given(st.data())
def test_every_wanted_job_is_taken_once_each_time_it_waits(data: st.DataObject):
    waiting = FairQueue()
    calls: list[Call] = []
    out: list[PendingJob] = []
    for _ in range(data.draw(st.integers(1, 40))):
        match data.draw(st.sampled_from(["add", "take", "put back", "answer", "settle"])):
            case "add":
                calls.append(make_call("abc"[len(calls) % 3], data.draw(st.integers(1, 4)), data.draw(peers)))
                waiting.add(calls[-1])
            case "take":
                due = [job for call in calls for job in call.jobs if job.wanted and job.waiting]
                taken = take(waiting, 1)
                assert len(taken) == min(1, len(due))
                assert all(job in due and not job.waiting for job in taken)
                out += taken
            case "put back" if out:
                put_back(waiting, [out.pop(data.draw(st.integers(0, len(out) - 1)))])
            case "answer" if out:
                job = out.pop()
                job.call.answer(job, ANSWER)
            case "settle" if calls:
                call = data.draw(st.sampled_from(calls))
                call.future.cancel()
                waiting.discard(call)
    wanted = {id(job): job for call in calls for job in call.jobs if job.wanted and job.waiting}
    rest = take(waiting)
    assert len(rest) == len(wanted)
    assert {id(job) for job in rest} == wanted.keys()
