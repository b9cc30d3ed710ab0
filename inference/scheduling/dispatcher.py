"""The web side of the channel layer, one per process: gives jobs to workers and collects the answers.

The rules by number are those of docs/architecture.md, section "The protocol between web and worker".
"""

import asyncio
import itertools
import logging
import secrets
from collections.abc import Callable
from typing import Any

from inference.errors import DeadlineExceeded, InferenceError, WorkerLost
from inference.messaging.cancellation import cancel_and_wait
from inference.messaging.codec import UnknownMessage, decode
from inference.messaging.layer import ChannelLayer
from inference.messaging.layer_health import LayerHealth
from inference.messaging.messages import (
    Description,
    Error,
    Hello,
    Replies,
    Result,
    Status,
    Totals,
    reply_channel,
)
from inference.messaging.receiving import receive_forever
from inference.scheduling.assignment import Assigner
from inference.scheduling.awaiting_description import AwaitingDescription
from inference.scheduling.calls import NO_EVENTS, Answer, Call, Events, PendingJob, Work
from inference.scheduling.heartbeat import Heartbeat
from inference.scheduling.replies import ReplyHandler
from inference.scheduling.throughput import ThroughputEstimate
from inference.scheduling.versions import describe
from inference.scheduling.worker_registry import WorkerRegistry, WorkerView

logger = logging.getLogger(__name__)

MAX_LOSSES_ALONE = 2
"""Workers lost while they ran a job alone, after which the job fails."""


class Dispatcher:
    """Owns the process's one reply channel; lives on one event loop."""

    def __init__(self, layer: ChannelLayer) -> None:
        self.channel = reply_channel(secrets.token_hex(6))
        self.registry = WorkerRegistry()
        self._layer = layer
        self._loop = asyncio.get_running_loop()
        self._health = LayerHealth()
        self.throughput = ThroughputEstimate(self.registry, self._loop.time())
        self._heartbeat = Heartbeat(layer, self.channel, self.registry, self._health, self._end_period)
        self._assigner = Assigner(
            layer, self.channel, self.registry, lambda: self._heartbeat.newest, self._health.failed
        )
        self._jobs: dict[int, PendingJob] = {}
        self._replies = ReplyHandler(self._jobs, self._assigner)
        self._ids = itertools.count(1)
        self.totals = Totals()
        """What all workers have done since this process knows them."""
        self._awaiting_description = AwaitingDescription()
        self._reported: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._spawn(receive_forever(self._layer, self.channel, self._take, self._health))
        self._spawn(self._heartbeat.run())

    async def stop(self) -> None:
        await cancel_and_wait([*self._tasks, *self._assigner.tasks])

    @property
    def pending(self) -> int:
        """Jobs without an answer, here or with a worker."""
        return len(self._jobs)

    @property
    def redispatched(self) -> int:
        """Jobs that went back to the queue since the process started."""
        return self._assigner.redispatched

    @property
    def dispatched(self) -> int:
        """Jobs that were sent to a worker whose closing entry has not arrived (records)."""
        return sum(len(worker.records) for worker in self.registry)

    @property
    def waiting(self) -> int:
        """Jobs that wait here for a worker with credit."""
        return self._assigner.waiting

    @property
    def queue_depth(self) -> int:
        """Jobs that wait here, or at a worker by its last status."""
        return self.waiting + sum(worker.queue_depth for worker in self.registry)

    @property
    def layer_works(self) -> bool:
        """The last hello, or the one before, came back."""
        return self._heartbeat.echoed_recently

    async def description(self, deadline_at: float) -> Description:
        """What the workers serve; waits until the first worker is ready.

        Raises:
            DeadlineExceeded: none had by then.
        """
        if self.registry.description is not None:
            return self.registry.description
        try:
            async with asyncio.timeout_at(deadline_at):
                return await self._awaiting_description.wait()
        except TimeoutError:
            raise DeadlineExceeded("The deadline passed before a worker was ready.") from None

    async def run(self, work: Work, events: Events = NO_EVENTS) -> list[Answer]:
        """One answer per input, in order. Cancelling the caller cancels the jobs.

        Raises:
            InferenceError: of the first input that failed; the others are cancelled. ``Invalid`` before anything is
                sent if an input or parameter cannot be.
            Superseded: no worker serves ``work.version`` any more, and others serve another version.
        """
        call = Call(work, events, self._loop.create_future())
        call.make_jobs(self._ids)
        self._jobs.update((job.job_id, job) for job in call.jobs)
        timer = self._loop.call_at(work.deadline_at, self._expire, call)
        self._assigner.add(call)
        try:
            await call.future
        finally:
            timer.cancel()
            self._forget(call)
        return [answer for answer in call.answers if answer is not None]

    # Receiving

    def _take(self, raw: dict[str, Any]) -> None:
        try:
            message = decode(raw)
        except UnknownMessage as error:
            self._report_once(f"Ignored: {error}")
            return
        match message:
            case Hello() if message.reply_channel == self.channel:
                self._heartbeat.record_echo(message.n)
            case Status():
                self._on_status(message)
            case Replies():
                self._on_replies(message)

    def _on_status(self, status: Status) -> None:
        worker = self.registry.get_or_add(status)
        worker.heard = True
        was_ready = worker.ready
        self.totals = self.totals.plus(status.totals.since(worker.totals))
        lost = worker.update(status)
        self._assigner.put_back([job for job_id in lost if (job := self._jobs.get(job_id))])
        worker.pending_cancel.update(job_id for job_id in status.held if job_id not in self._jobs)
        if worker.state == "stopped":
            self.registry.remove(worker)
            self._assigner.put_back([job for job_id in worker.records if (job := self._jobs.get(job_id))])
        self._on_workers_changed()
        if worker.ready and not was_ready:
            logger.info("Worker %s is ready: %s", worker.id, describe(worker.description))
        self._assigner.dispatch()

    def _on_workers_changed(self) -> None:
        """A worker sent a status, or was lost."""
        now = self._loop.time()
        self.registry.update_version(now)
        self.throughput.observe_workers(now)
        for call in self._assigner.superseded():
            call.supersede()
        if self.registry.description is not None:
            self._awaiting_description.resolve(self.registry.description)

    def _on_replies(self, replies: Replies) -> None:
        worker = self.registry.get(replies.worker)
        if worker is not None:
            worker.heard = True
        self._replies.handle(worker, replies)
        self._assigner.dispatch()
        if worker in self.registry.serving():
            answered = sum(isinstance(entry, Result | Error) for entry in replies.entries)
            self.throughput.observe_answers(answered, self._loop.time(), backlog=self.waiting > 0)

    def fail_all(self, make_error: Callable[[], InferenceError]) -> None:
        """End every call that has no answer; for a process that stops."""
        for call in {job.call for job in self._jobs.values()}:
            call.fail(make_error())
        self._awaiting_description.fail(make_error)

    # Time

    def _end_period(self) -> None:
        lost = self.registry.end_period(self._loop.time(), layer_worked=self._heartbeat.echoed)
        for worker in lost:  # all are removed before anything is sent again
            self._lose(worker)
        self._on_workers_changed()
        if lost:
            self._assigner.dispatch()

    def _lose(self, worker: WorkerView) -> None:
        """Rules 7 and 8: the jobs of a lost worker run again, alone; one that is lost twice while alone fails."""
        logger.error("Worker %s is lost; %d jobs are sent again", worker.id, len(worker.records))
        for job_id, record in worker.records.items():
            job = self._jobs.get(job_id)
            if job is None or not job.wanted:
                continue
            job.losses += record.go_sent
            if job.losses >= MAX_LOSSES_ALONE:
                job.call.fail(WorkerLost("Every worker that ran this input was lost; it is not tried again."), job)
                continue
            job.alone = True
            self._assigner.put_back([job])

    def _expire(self, call: Call) -> None:
        if not any(job.waiting for job in call.jobs):
            where = "the model had answered"
        else:
            where = "a worker was free" if self.registry.serving() else "a worker was ready"
        call.fail(DeadlineExceeded(f"The deadline passed before {where}."))

    def _forget(self, call: Call) -> None:
        self._assigner.discard(call)
        for job in call.jobs:
            self._jobs.pop(job.job_id, None)
            for worker in self.registry:
                if job.job_id in worker.records:
                    worker.pending_cancel.add(job.job_id)
        if not self.waiting:
            self.throughput.end_backlog()
        call.jobs = []  # no reference cycle: its answers, perhaps megabytes, would wait for the garbage collector
        if any(worker.has_pending_control for worker in self.registry):
            self._assigner.dispatch()

    def _report_once(self, sentence: str) -> None:
        if sentence not in self._reported and len(self._reported) < 1000:
            self._reported.add(sentence)
            logger.warning("%s", sentence)

    def _spawn(self, coroutine: Any) -> None:
        self._tasks.append(self._loop.create_task(coroutine))
