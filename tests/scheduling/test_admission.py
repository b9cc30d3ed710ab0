from contextlib import ExitStack
from typing import Any

import pytest

from inference.conf import Conf
from inference.errors import Draining, InferenceError, Loading, Overloaded, PayloadTooLarge
from inference.messaging.messages import DEFAULT_PIPELINE, CostModel
from inference.scheduling.admission import MAX_RETRY_AFTER_S, Admission
from inference.scheduling.calls import Peer
from inference.scheduling.dispatcher import Dispatcher
from tests.messaging.recording_layer import RecordingLayer
from tests.scheduling.test_fair_queue import make_call, take
from tests.scheduling.test_host_registry import meet

HOG, OTHER = Peer("hog"), Peer("other")


class Queue:
    """An admission with one worker whose cost model says 10 jobs per second, and a clock set by hand."""

    def __init__(self, *, ready: bool = True, embedded: bool = False, reading_ms: float = 0.0, **conf: Any) -> None:
        self.now = 0.0
        self.reading_ms = reading_ms
        self.dispatcher = Dispatcher(RecordingLayer())
        self.pipeline = self.dispatcher.pipelines[DEFAULT_PIPELINE]
        self.pipeline.throughput.outage._began_at = 0.0
        self.admission = Admission(self.pipeline, Conf(**conf), embedded=embedded)
        self.admission._clock = lambda: self.now
        if ready:
            self.become_ready()

    def become_ready(self) -> None:
        worker = meet(self.dispatcher.registry, cost=CostModel(50.0, 100.0, 0.0), credit=4, reading_ms=self.reading_ms)
        self.pipeline.workers[worker.id] = worker
        self.pipeline.update(self.now)

    def fill(self, inputs: int, peer: Peer = HOG) -> None:
        """Admit inputs whose jobs wait."""
        self.admission._permits.acquire(peer, inputs)
        self.pipeline.pending += inputs
        self.pipeline.add(make_call("a", inputs, peer))

    def refused(self, inputs: int = 1, peer: Peer = OTHER, deadline_s: float | None = None) -> InferenceError:
        with pytest.raises(InferenceError) as raised, self.admission.permits(inputs, peer, deadline_s):
            pass
        return raised.value

    def admits(self, inputs: int = 1, peer: Peer = OTHER, deadline_s: float | None = None) -> bool:
        with self.admission.permits(inputs, peer, deadline_s):
            return True


async def test_an_idle_server_admits_what_fits():
    queue = Queue(max_pending=20, max_inputs=20)
    assert queue.admits(20, deadline_s=0.01)
    assert queue.admission.pending_inputs == 0


async def test_more_inputs_than_a_request_may_have_is_no_overload():
    assert isinstance(Queue(max_inputs=4).refused(5), PayloadTooLarge)


async def test_without_permits_the_refusal_says_when_there_are_some():
    """Thirty must be answered first at ten a second, and its own thirty take their time too."""
    queue = Queue(max_pending=100)
    queue.fill(100)
    error = queue.refused(30)
    assert (type(error), error.retry_after_s) == (Overloaded, 6)
    assert error.message == "100 inputs are waiting, 100 are allowed; try again in 6 s."


async def test_refused_clients_are_told_to_retry_one_after_the_other():
    queue = Queue(max_pending=100)
    queue.fill(100)
    told = [queue.refused(20, Peer(f"c{n}")).retry_after_s for n in range(4)]
    assert told == [4, 6, 8, 10]
    queue.now = 5.0
    assert queue.refused(20, OTHER).retry_after_s == 7  # after the four that have yet to retry


async def test_a_client_with_its_full_share_is_refused():
    """The remaining permits are for other clients, which are admitted."""
    queue = Queue(max_pending=80)
    queue.fill(70)
    error = queue.refused(1, HOG)
    assert error.message == "This client would have more than its share of the 80 inputs allowed; try again in 2 s."
    assert queue.admits(1, OTHER)


async def test_a_request_without_inputs_changes_nothing():
    """Even while it waits for the first worker and other requests are admitted and answered."""
    queue = Queue(ready=False, max_pending=4, max_inputs=4)
    with queue.admission.permits(0, HOG):
        assert queue.admits(2, HOG)
    queue.fill(4, HOG)
    assert queue.refused(1, HOG).message == "4 inputs are waiting, 4 are allowed; try again in 1 s."


async def test_early_retries_do_not_lengthen_the_wait_without_limit():
    queue = Queue(max_pending=100)
    queue.fill(100)
    told = [queue.refused(1).retry_after_s or 0 for _ in range(500)]
    assert max(told) == 11  # one for its own permit, ten for as many others as there are permits
    queue.now = 60.0
    assert queue.refused(1).retry_after_s == 1


async def test_retry_after_is_at_most_a_minute():
    queue = Queue(max_pending=2000, max_inputs=2000)
    queue.fill(2000)
    assert queue.refused(2000).retry_after_s == MAX_RETRY_AFTER_S


async def test_a_wait_beyond_the_deadline_is_refused_before_it_begins():
    queue = Queue()
    queue.fill(100)
    error = queue.refused(1, HOG, deadline_s=10)
    assert isinstance(error, Overloaded)
    assert error.message == "The predicted wait is 10.1 s, too long for a deadline of 10 s; try again in 5 s."
    assert queue.admits(1, HOG, deadline_s=20)


async def test_the_wait_of_a_client_with_few_inputs_ignores_one_with_many():
    """Clients take turns, so its wait is short."""
    queue = Queue()
    queue.fill(100, HOG)
    assert queue.admits(2, OTHER, deadline_s=10)


async def test_a_deadline_that_no_server_could_meet_is_no_overload():
    queue = Queue()
    queue.fill(100)
    assert queue.admits(1, HOG, deadline_s=0.01)


async def test_no_wait_is_predicted_while_workers_have_credit():
    queue = Queue()
    queue.fill(100)
    take(queue.pipeline._queues[""])
    assert queue.admission.predicted_wait_s(1) == 0
    assert queue.admits(1, HOG, deadline_s=1)


async def test_jobs_at_workers_count_once_throughput_was_measured():
    """They may take longer than a deadline, even if no job waits here."""
    queue = Queue()
    queue.fill(100)
    take(queue.pipeline._queues[""])
    for tenth in range(20):
        queue.pipeline.throughput.observe_answers(1, tenth / 10, backlog=True)
    assert queue.admission.predicted_wait_s(1) == pytest.approx(10.1)
    assert isinstance(queue.refused(1, HOG, deadline_s=10), Overloaded)
    assert queue.admits(1, HOG, deadline_s=20)


async def test_prompts_that_could_not_be_read_in_time_are_refused_before_they_wait():
    """Each takes two seconds here, so that nine are read within 60 % of what the tenth leaves of 30 s."""
    queue = Queue(reading_ms=2.0)
    prompts = [f"{number:8}" + "x" * (4000 * 3 // 5 - 10) for number in range(16)]
    admitted, refused = [], []
    with ExitStack() as open_ones:
        for prompt in prompts:
            try:
                open_ones.enter_context(queue.admission.permits(1, OTHER, 30, [prompt]))
                admitted.append(prompt)
            except Overloaded as error:
                refused.append(error)
        assert (len(admitted), len(refused)) == (9, 7)
        assert "The predicted wait is 20.0 s, too long for a deadline of 30 s" in refused[0].message
        assert queue.admits(1, OTHER, 30), "a short one does not wait for them"
        queue.now = 4.0
        with queue.admission.permits(1, OTHER, 30, [prompts[-1]]):
            pass
    queue.now = 5.0
    with queue.admission.permits(1, OTHER, 3, [prompts[-1]]):
        pass


async def test_while_no_worker_is_ready_requests_wait_as_long_as_there_are_permits():
    queue = Queue(ready=False, max_pending=4, max_inputs=4)
    queue.now = 6.0
    assert queue.admits(4)
    queue.fill(4)
    error = queue.refused()
    assert (type(error), error.retry_after_s) == (Loading, 6)


async def test_without_a_worker_for_longer_than_a_deadline_requests_are_refused_at_once():
    queue = Queue(ready=False, deadline_s=30, max_deadline_s=120)
    queue.now = 31.0
    assert isinstance(queue.refused(), Loading)
    assert queue.refused().retry_after_s == 31
    assert isinstance(queue.refused(deadline_s=1), Loading)
    assert queue.admits(deadline_s=60)
    queue.become_ready()
    assert queue.admits()


@pytest.mark.parametrize(("embedded", "seconds"), [(False, 12 + 3), (True, 12 + 3 + 8)])
async def test_draining_says_when_a_new_process_may_be_ready(embedded: bool, seconds: int):
    """Ten seconds of work, the start of a process, loading of the model, and the inputs of the request itself."""
    queue = Queue(ready=False, embedded=embedded)
    queue.now = 8.0
    queue.become_ready()
    queue.fill(100)
    queue.admission.draining = True
    error = queue.refused(30)
    assert (type(error), error.retry_after_s) == (Draining, seconds)


async def test_reading_the_reason_changes_nothing():
    queue = Queue(max_pending=100)
    queue.fill(100)
    for _ in range(50):
        assert queue.admission.refusal_reason() is not None
    assert queue.refused(1).retry_after_s == 1
