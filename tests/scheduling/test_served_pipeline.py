from dataclasses import replace
from typing import Any

import msgspec
import pytest

from inference.messaging.messages import Description
from inference.scheduling.calls import Call, PendingJob
from inference.scheduling.host_registry import HostRegistry, WorkerView
from inference.scheduling.served_pipeline import ServedPipeline
from inference.scheduling.versions import RESTART_GRACE_S
from tests.scheduling import test_fair_queue
from tests.scheduling.test_host_registry import DESCRIPTION, hold, meet

OTHER = msgspec.structs.replace(DESCRIPTION, version="2")


class Pipeline:
    """A served pipeline and the hosts of its workers."""

    def __init__(self) -> None:
        self.registry = HostRegistry()
        self.served = ServedPipeline("default", 0.0)

    def meet(self, host: str = "h", **fields: Any) -> WorkerView:
        """Its worker after a status with these fields; ``update`` decides what is served."""
        worker = meet(self.registry, host, **fields)
        self.served.workers[worker.id] = worker
        return worker

    def update(self, now: float = 0.0) -> None:
        self.served.update(now)

    def lose(self, worker: WorkerView, now: float) -> None:
        """As the dispatcher does."""
        del self.served.workers[worker.id]
        self.registry.remove(worker.host)
        self.served.worker_lost(worker, now)
        self.update(now)

    def take(self) -> list[tuple[WorkerView, PendingJob]]:
        """Send waiting jobs, as far as there is credit."""
        taken = []
        for worker, job in self.served.take():
            self.registry.add_record(worker, job.job_id)
            taken.append((worker, job))
        return taken

    @property
    def description(self) -> Description | None:
        return self.served.description


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


def make_call(name: str, inputs: int, version: str = "") -> Call:
    call = test_fair_queue.make_call(name, inputs)
    call.work = replace(call.work, version=version)
    return call


# Workers


def test_only_ready_workers_are_counted_as_ready(pipeline: Pipeline):
    for number, state in enumerate(("starting", "ready", "failed", "draining", "stopped", "ready")):
        pipeline.meet(f"{state}{number}", state=state)
    pipeline.update()
    assert len(pipeline.served.serving()) == 2
    assert pipeline.served.serving() == pipeline.served.ready_for("")


def test_what_is_served_is_known_from_the_first_worker_that_is_ready(pipeline: Pipeline):
    pipeline.meet("a", state="starting", description=None)
    pipeline.update()
    assert (pipeline.description, pipeline.served.serving()) == (None, [])
    b = pipeline.meet("b")
    pipeline.meet("c", state="starting", description=None)
    pipeline.update()
    assert (pipeline.description, pipeline.served.serving()) == (DESCRIPTION, [b])


def test_what_was_served_is_remembered_when_the_last_worker_is_gone(pipeline: Pipeline):
    worker = pipeline.meet()
    pipeline.update()
    pipeline.lose(worker, 1.0)
    pipeline.update(100.0)
    assert (pipeline.description, pipeline.served.serving()) == (DESCRIPTION, [])


def test_workers_of_other_versions_are_kept_apart(pipeline: Pipeline):
    same, other = pipeline.meet("a"), pipeline.meet("b", description=OTHER)
    pipeline.update()
    served = pipeline.served
    assert (served.serving(), served.other_versions()) == ([same], [other])
    assert (served.select(""), served.select("2"), served.select("3")) == (same, other, None)


def test_a_version_whose_worker_was_lost_is_kept_for_a_while(pipeline: Pipeline):
    """Its host may be restarted."""
    lost, _ = pipeline.meet("a"), pipeline.meet("b", description=OTHER)
    pipeline.update()
    pipeline.lose(lost, 10.0)
    assert pipeline.description == DESCRIPTION
    pipeline.update(10.0 + RESTART_GRACE_S)
    assert pipeline.description == OTHER


def test_an_outage_ends_with_the_first_ready_worker(pipeline: Pipeline):
    pipeline.update(3.0)
    outage = pipeline.served.throughput.outage
    assert outage.duration_s(3.0) == 3
    pipeline.meet()
    pipeline.update(4.0)
    assert (outage.duration_s(5.0), outage.last_duration_s) == (0, 4)


async def test_those_that_wait_for_the_first_worker_hear_of_it(pipeline: Pipeline):
    waiting = pipeline.served.awaiting_description.wait()
    waiting.send(None)
    pipeline.meet()
    pipeline.update()
    with pytest.raises(StopIteration) as ended:
        waiting.send(None)
    assert ended.value.value == DESCRIPTION


def test_it_has_failed_where_every_worker_has(pipeline: Pipeline):
    pipeline.served.update(0.0)
    assert pipeline.served.failure == ""
    pipeline.meet("a", state="failed", description=None, reason="no memory")
    pipeline.served.update(0.0)
    assert pipeline.served.failure == "Pipeline default could not be loaded (no memory)"
    pipeline.meet("b", state="starting", description=None)
    pipeline.served.update(0.0)
    assert pipeline.served.failure == ""
    pipeline.meet("b", state="failed", description=None, reason="no model")
    pipeline.served.update(0.0)
    assert pipeline.served.failure == "Pipeline default could not be loaded (no memory)"
    pipeline.meet("a")
    pipeline.served.update(0.0)
    assert pipeline.served.failure == ""


# Selection


def test_no_worker_is_selected_before_any_is_ready(pipeline: Pipeline):
    pipeline.meet(state="starting", description=None)
    assert pipeline.served.select("") is None


def test_the_worker_with_most_credit_is_selected(pipeline: Pipeline):
    pipeline.meet("a", credit=2)
    best = pipeline.meet("b", credit=5)
    busy = pipeline.meet("c", credit=6)
    hold(pipeline.registry, busy, 1, 2)
    assert pipeline.served.select("") is best


def test_none_is_selected_while_a_send_to_the_best_one_is_in_progress(pipeline: Pipeline):
    pipeline.meet("a", credit=5).host.sending = True
    pipeline.meet("b", credit=1)
    assert pipeline.served.select("") is None


def test_of_two_workers_with_equal_credit_the_idle_one_is_selected(pipeline: Pipeline):
    pipeline.meet("a", credit=5).host.sending = True
    other = pipeline.meet("b", credit=5)
    assert pipeline.served.select("") is other


def test_no_worker_is_selected_without_credit(pipeline: Pipeline):
    pipeline.meet("a", credit=0)
    pipeline.meet("b", state="draining")
    assert pipeline.served.select("") is None


# Jobs


def test_jobs_are_taken_as_far_as_there_is_credit(pipeline: Pipeline):
    a, b = pipeline.meet("a", credit=2, queue_depth=3), pipeline.meet("b", credit=1)
    pipeline.served.add(make_call("x", 5))
    assert (pipeline.served.waiting, pipeline.served.queue_depth) == (5, 8)
    assert [worker for worker, _ in pipeline.take()] in ([a, b, a], [a, a, b])
    assert (pipeline.served.waiting, pipeline.served.queue_depth) == (2, 5)
    assert pipeline.take() == []


def test_jobs_go_only_to_workers_of_their_version(pipeline: Pipeline):
    pipeline.meet("a", credit=1)
    other = pipeline.meet("b", description=OTHER, credit=4)
    pipeline.served.add(make_call("x", 3, "2"))
    pipeline.served.add(make_call("y", 3, "3"))
    assert [worker for worker, _ in pipeline.take()] == [other] * 3
    assert pipeline.served.waiting == 3


def test_jobs_that_were_put_back_are_first_and_counted(pipeline: Pipeline):
    pipeline.meet(credit=1)
    pipeline.served.add(make_call("x", 2))
    ((worker, first),) = pipeline.take()
    pipeline.registry.drop_record(worker.host, first.job_id)
    pipeline.served.put_back([first])
    pipeline.served.put_back([first])
    assert (pipeline.served.redispatched, pipeline.served.waiting) == (1, 2)
    assert [job for _, job in pipeline.take()] == [first]


def test_jobs_of_a_settled_call_do_not_wait(pipeline: Pipeline):
    call, other = make_call("x", 3), make_call("y", 2)
    pipeline.served.add(call)
    pipeline.served.add(other)
    pipeline.served.discard(call)
    assert pipeline.served.waiting == 2


def test_an_answer_that_was_not_expected_withdraws_the_job(pipeline: Pipeline):
    call = make_call("x", 2)
    pipeline.served.add(call)
    pipeline.served.withdraw(call.jobs[0])
    assert pipeline.served.waiting == 1


def test_calls_of_a_version_that_has_gone_are_superseded_where_another_is_served(pipeline: Pipeline):
    gone, kept = make_call("x", 2, "1"), make_call("y", 2, "2")
    pipeline.served.add(gone)
    pipeline.served.add(kept)
    assert pipeline.served.superseded() == [], "no worker is ready"
    pipeline.meet(description=OTHER)
    pipeline.update()
    assert pipeline.served.superseded() == [gone]
