"""Replies of one envelope are of several clients."""

from typing import Any, cast

import pytest

from inference.errors import Internal
from inference.messaging.messages import Replies, Result, Started
from inference.scheduling.assignment import Assigner
from inference.scheduling.calls import Events
from inference.scheduling.replies import ReplyHandler
from inference.scheduling.worker_registry import Record, WorkerView
from tests.scheduling.test_calls import make_call


class NoAssigner:
    def withdraw(self, job: Any) -> None:
        pass


async def test_a_caller_that_fails_ends_its_own_request_only():
    def fail(event: Started) -> None:
        raise ValueError("a bug of the caller")

    one, other = make_call(1, Events(started=fail)), make_call(1)
    other.jobs[0].job_id = 200
    jobs = {job.job_id: job for call in (one, other) for job in call.jobs}
    worker = WorkerView("w", "inference.worker.w", records={100: Record(), 200: Record()})
    entries = (Started(100, 1), Result(200, b"1", 1.0, 1.0, 1))
    ReplyHandler(jobs, cast("Assigner", NoAssigner())).handle(worker, Replies("w", entries))
    with pytest.raises(Internal):
        one.future.result()
    assert other.settled
    assert [answer and answer.result.output for answer in other.answers] == [b"1"]
