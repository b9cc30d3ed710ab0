"""Replies of one envelope are of several clients."""

from typing import cast

import pytest

from inference.errors import Internal
from inference.messaging.messages import Cleared, Replies, Result, Started
from inference.scheduling.assignment import Assigner
from inference.scheduling.calls import Answer, Events
from inference.scheduling.host_registry import HostRegistry
from inference.scheduling.replies import ReplyHandler
from inference.scheduling.served_pipeline import ServedPipeline
from tests.scheduling.test_calls import make_call
from tests.scheduling.test_host_registry import hold, meet


async def test_a_caller_that_fails_ends_its_own_request_only():
    def fail(event: Started) -> None:
        raise ValueError("a bug of the caller")

    one, other = make_call(1, Events(started=fail)), make_call(1)
    other.jobs[0].job_id = 200
    jobs = {job.job_id: job for call in (one, other) for job in call.jobs}
    registry, pipeline = HostRegistry(), ServedPipeline("default", 0.0)
    worker = meet(registry)
    hold(registry, worker, 100, 200)
    pipeline.workers[worker.id], pipeline.pending = worker, 2
    pipeline.update(0.0)
    entries = (Started(100, 1), Result(200, b"1", 1.0, 1.0, 1))
    handler = ReplyHandler(jobs, registry, {"default": pipeline}, cast("Assigner", None))
    assert handler.handle(worker.host, Replies("h", entries)) == {worker: 1}
    with pytest.raises(Internal):
        one.future.result()
    assert other.settled
    [answer] = other.answers
    assert isinstance(answer, Answer)
    assert (answer.result.output, answer.worker) == (b"1", worker.id)
    assert (pipeline.pending, set(worker.host.records)) == (1, {100})


async def test_a_text_that_is_cleared_is_no_suspect_any_more():
    """Rule 14: a loss of its host is not counted against it, and does not make it run alone by itself."""
    call = make_call(1)
    [job] = call.jobs
    job.alone = True
    registry, pipeline = HostRegistry(), ServedPipeline("default", 0.0)
    worker = meet(registry)
    hold(registry, worker, job.job_id)
    handler = ReplyHandler({job.job_id: job}, registry, {"default": pipeline}, cast("Assigner", None))
    handler.handle(worker.host, Replies("h", (Started(job.job_id, 1),)))
    assert (job.alone, worker.host.records[job.job_id].go_sent) == (True, True)
    handler.handle(worker.host, Replies("h", (Cleared(job.job_id),)))
    assert (job.alone, worker.host.records[job.job_id].go_sent) == (False, False)
