"""The web side of the channel layer, one per process: gives jobs to workers and collects the answers.

The rules by number are those of docs/architecture.md, section "The protocol between web and worker".
"""

import asyncio
import itertools
import logging
import secrets
import sys
from collections.abc import Callable, Iterable
from typing import Any

from inference.control.desired import Desired
from inference.errors import DeadlineExceeded, InferenceError, NotLoaded, Overloaded, WorkerLost
from inference.messaging import previous_release
from inference.messaging.cancellation import cancel_and_wait
from inference.messaging.codec import UnknownMessage, decode
from inference.messaging.layer import ChannelLayer
from inference.messaging.layer_health import LayerHealth
from inference.messaging.messages import (
    DEFAULT_PIPELINE,
    Description,
    Facts,
    Hello,
    HostStatus,
    Replies,
    reply_channel,
)
from inference.messaging.receiving import receive_forever
from inference.scheduling.assignment import Assigner
from inference.scheduling.calls import NO_EVENTS, Answer, Call, Events, PendingJob, Work
from inference.scheduling.heartbeat import Heartbeat
from inference.scheduling.host_registry import HostRegistry, HostView, Record, WorkerView
from inference.scheduling.orders import wanted
from inference.scheduling.replies import ReplyHandler
from inference.scheduling.served_pipeline import ServedPipeline
from inference.scheduling.versions import describe

logger = logging.getLogger(__name__)

MAX_LOSSES_ALONE = 2
"""Hosts lost while they ran a job alone, after which the job fails."""
BYTES_RETRY_S = 1


class Dispatcher:
    """Owns the process's one reply channel; lives on one event loop.

    Args:
        names: of the pipelines that this process gives jobs to; workers of others are ignored.
        observes: it will only look at the workers and give them no jobs.
        most_bytes: of the inputs without an answer, of all pipelines; a single call may be larger.
        desired: what operators want; by default nothing, until it is read.
    """

    def __init__(
        self,
        layer: ChannelLayer,
        names: Iterable[str] = (DEFAULT_PIPELINE,),
        *,
        observes: bool = False,
        most_bytes: int = sys.maxsize,
        desired: Desired | None = None,
    ) -> None:
        self.channel = reply_channel(secrets.token_hex(6))
        self.registry = HostRegistry()
        self.desired = desired or Desired()
        self._layer = layer
        self._loop = asyncio.get_running_loop()
        self._health = LayerHealth()
        self.pipelines = {name: ServedPipeline(name, self._loop.time()) for name in names}
        self._heartbeat = Heartbeat(layer, self.channel, self.registry, self._health, self._end_period)
        self._heartbeat.observes = observes
        self._heartbeat.wanted = lambda: wanted(self.desired, self.pipelines, self.registry)
        self._assigner = Assigner(layer, self.channel, self.registry, self.pipelines, self._heartbeat)
        self.pending_bytes = 0
        self._most_bytes = most_bytes
        self._jobs: dict[int, PendingJob] = {}
        self._replies = ReplyHandler(self._jobs, self.registry, self.pipelines, self._assigner)
        self._ids = itertools.count(1)
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
    def dispatched(self) -> int:
        """Jobs that were sent to a worker whose closing entry has not arrived (records)."""
        return self.registry.recorded

    @property
    def layer_works(self) -> bool:
        """The last hello, or the one before, came back."""
        return self._heartbeat.echoed_recently

    async def description(self, deadline_at: float, pipeline: str = DEFAULT_PIPELINE) -> Description:
        """What the workers of a pipeline serve; waits until the first one is ready.

        Raises:
            DeadlineExceeded: none had by then.
        """
        served = self.pipelines[pipeline]
        if served.description is not None:
            return served.description
        try:
            async with asyncio.timeout_at(deadline_at):
                return await served.awaiting_description.wait()
        except TimeoutError:
            raise DeadlineExceeded("The deadline passed before a worker was ready.") from None

    async def run(self, work: Work, events: Events = NO_EVENTS) -> list[Answer | InferenceError]:
        """As many answers per input as it has choices, in order. Cancelling the caller cancels the jobs.

        An error takes the place of an answer only where a part of them is wanted (``work.partial``).

        Raises:
            InferenceError: of the first input that failed; the others are cancelled. Before anything is sent,
                ``Invalid`` if an input or parameter cannot be, and ``Overloaded`` if too many bytes wait for answers.
            Superseded: no worker serves ``work.version`` any more, and others serve another version.
        """
        call = Call(work, events, self._loop.create_future())
        call.make_jobs(self._ids)
        size = sum(job.size for job in call.jobs)
        if self.pending_bytes and self.pending_bytes + size > self._most_bytes:
            sentence = f"Inputs of {self.pending_bytes} bytes are waiting, {self._most_bytes} are allowed"
            raise Overloaded(f"{sentence}; try again in {BYTES_RETRY_S} s.", retry_after_s=BYTES_RETRY_S)
        if events.admitted is not None:
            events.admitted()
        self.pending_bytes += size
        pipeline = self.pipelines[work.pipeline]
        self._jobs.update((job.job_id, job) for job in call.jobs)
        pipeline.pending += len(call.jobs)
        timer = self._loop.call_at(work.deadline_at, self._expire, call)
        pipeline.add(call)
        self._assigner.dispatch()
        try:
            await call.future
        finally:
            timer.cancel()
            self.pending_bytes -= size
            self._forget(call, pipeline)
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
            case HostStatus():
                self._on_status(message)
            case Facts():
                self._on_facts(message)
            case Replies():
                self._on_replies(message)
            case previous_release.Status():
                status, facts = previous_release.upgraded(message)
                self._on_status(status, facts)

    def _on_status(self, status: HostStatus, facts: Facts | None = None) -> None:
        host = self.registry.get_or_add(status)
        before = {worker.id: (worker.ready, worker.totals) for worker in host.workers.values()}
        lost = self.registry.update(host, status)
        if facts is not None:
            self.registry.describe(facts)
        self._put_back(lost)
        host.pending_cancel.update(job_id for job_id in status.held if job_id not in self._jobs)
        self._forget_unloaded(host, before)
        for worker in host.workers.values():
            was_ready, totals = before[worker.id]
            if pipeline := self.pipelines.get(worker.pipeline):
                pipeline.workers.setdefault(worker.id, worker)
                pipeline.totals = pipeline.totals.plus(worker.totals.since(totals))
            self._log_ready(worker, was_ready=was_ready)
        if host.state == "stopped":
            self._put_back(self._remove(host))
        self._on_workers_changed(host)
        self._assigner.dispatch()

    def _forget_unloaded(self, host: HostView, known: Iterable[str]) -> None:
        """Workers that the host does not name any more: others took their places."""
        for worker_id in known:
            if worker_id not in host.workers:
                for pipeline in self.pipelines.values():
                    pipeline.workers.pop(worker_id, None)

    def _on_facts(self, facts: Facts) -> None:
        if (worker := self.registry.describe(facts)) is not None:
            self._log_ready(worker, was_ready=False)
            self._on_workers_changed(worker.host)
            self._assigner.dispatch()

    def _log_ready(self, worker: WorkerView, *, was_ready: bool) -> None:
        if worker.ready and not was_ready and worker.pipeline in self.pipelines:
            logger.info(
                "Worker %s of pipeline %s is ready: %s", worker.id, worker.pipeline, describe(worker.description)
            )

    def _on_workers_changed(self, host: HostView) -> None:
        """The host sent a status, or was lost."""
        now = self._loop.time()
        changed = {worker.pipeline for worker in host.workers.values()}
        for name, pipeline in self.pipelines.items():
            if name in changed:
                self._update(pipeline, now)

    def _update(self, pipeline: ServedPipeline, now: float) -> None:
        pipeline.wish = self.desired.pipelines.get(pipeline.name)
        pipeline.update(now)
        for call in pipeline.superseded():
            call.supersede()
        if failure := pipeline.failure:
            sentence = f"{failure}." if pipeline.unloaded else f"{failure}; the load is tried again."
            pipeline.awaiting_description.fail(lambda: NotLoaded(sentence))
            for call in pipeline.waiting_calls() if pipeline.unloaded else ():
                call.fail(NotLoaded(sentence))

    def _on_replies(self, replies: Replies) -> None:
        host = self.registry.get(replies.host)
        if host is not None:
            host.heard = True
        answered = self._replies.handle(host, replies)
        self._assigner.dispatch()
        for worker, jobs in answered.items():
            pipeline = self.pipelines.get(worker.pipeline)
            if pipeline is not None and worker in pipeline.serving():
                pipeline.throughput.observe_answers(jobs, self._loop.time(), backlog=pipeline.waiting > 0)

    def _put_back(self, job_ids: Iterable[int]) -> None:
        self._assigner.put_back(job for job_id in job_ids if (job := self._jobs.get(job_id)))

    def _remove(self, host: HostView) -> dict[int, Record]:
        """Forget a host and its workers; returns its records."""
        for worker in host.workers.values():
            if pipeline := self.pipelines.get(worker.pipeline):
                pipeline.workers.pop(worker.id, None)
        return self.registry.remove(host)

    def fail_all(self, make_error: Callable[[], InferenceError]) -> None:
        """End every call that has no answer; for a process that stops."""
        for call in dict.fromkeys(job.call for job in self._jobs.values()):
            call.fail(make_error())
        for pipeline in self.pipelines.values():
            pipeline.awaiting_description.fail(make_error)

    # Time

    def _end_period(self) -> None:
        now = self._loop.time()
        lost = self.registry.end_period(layer_worked=self._heartbeat.echoed)
        records = [(host, self._remove(host)) for host in lost]  # all are removed before anything is sent again
        for host, held in records:
            self._lose(host, held, now)
        for pipeline in self.pipelines.values():
            self._update(pipeline, now)
        if lost:
            self._assigner.dispatch()

    def _lose(self, host: HostView, records: dict[int, Record], now: float) -> None:
        """Rules 7 and 8: the jobs of a lost host run again, alone; one that is lost twice while alone fails."""
        logger.error("Worker host %s is lost; %d jobs are sent again", host.id, len(records))
        for worker in host.workers.values():
            if pipeline := self.pipelines.get(worker.pipeline):
                pipeline.worker_lost(worker, now)
        for job_id, record in records.items():
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
            serving = self.pipelines[call.work.pipeline].serving()
            where = "a worker was free" if serving else "a worker was ready"
        call.fail(DeadlineExceeded(f"The deadline passed before {where}."))

    def _forget(self, call: Call, pipeline: ServedPipeline) -> None:
        for job in call.jobs:
            pipeline.pending -= self._jobs.pop(job.job_id, None) is not None
            for host in self.registry.holders(job.job_id):
                host.pending_cancel.add(job.job_id)
        pipeline.discard(call)
        call.jobs = []  # no reference cycle: its answers, perhaps megabytes, would wait for the garbage collector
        if any(host.has_pending_control for host in self.registry):
            self._assigner.dispatch()

    def _report_once(self, sentence: str) -> None:
        if sentence not in self._reported and len(self._reported) < 1000:
            self._reported.add(sentence)
            logger.warning("%s", sentence)

    def _spawn(self, coroutine: Any) -> None:
        self._tasks.append(self._loop.create_task(coroutine))
