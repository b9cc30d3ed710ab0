"""Which worker gets which job: assigns waiting jobs to workers with credit and sends them.

The rules by number are those of docs/architecture.md, section "The protocol between web and worker".
"""

import asyncio
from collections import deque
from collections.abc import Iterable

from inference.messaging.envelopes import pack
from inference.messaging.layer import ChannelLayer, send, send_interval_of
from inference.messaging.messages import Cancel, Go, Message, Submit, Want
from inference.scheduling.calls import PendingJob
from inference.scheduling.heartbeat import Heartbeat
from inference.scheduling.host_registry import HostRegistry, HostView, WorkerView
from inference.scheduling.served_pipeline import ServedPipeline

Envelopes = dict[WorkerView, list[PendingJob]]


class Assigner:
    """Assigns jobs to workers with credit, as late as possible. At most one send per host is in progress.

    Args:
        channel: reply channel of this web process.
        heartbeat: records are stamped with its newest hello.
    """

    def __init__(
        self,
        layer: ChannelLayer,
        channel: str,
        registry: HostRegistry,
        pipelines: dict[str, ServedPipeline],
        heartbeat: Heartbeat,
    ) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self._layer = layer
        self._channel = channel
        self._registry = registry
        self._pipelines = pipelines
        self._heartbeat = heartbeat
        self._loop = asyncio.get_running_loop()
        self._send_interval_s = send_interval_of(layer)

    def put_back(self, jobs: Iterable[PendingJob]) -> None:
        """Queue jobs again, except those that another host holds too."""
        for job in jobs:
            if not self._registry.is_held(job.job_id):
                self._pipelines[job.call.work.pipeline].put_back([job])

    def dispatch(self) -> None:
        """Start to send all jobs for which there is credit, and all other messages that wait."""
        envelopes: dict[HostView, Envelopes] = {}
        for pipeline in self._pipelines.values():
            for worker, job in pipeline.take():
                self._registry.add_record(worker, job.job_id, job.size)
                envelopes.setdefault(worker.host, {}).setdefault(worker, []).append(job)
        for host in self._registry:
            if not host.sending and (host in envelopes or host.has_pending_control):
                host.sending = True
                task = self._loop.create_task(self._send_all(host, envelopes.get(host, {})))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)

    async def _send_all(self, host: HostView, envelopes: Envelopes) -> None:
        try:
            for worker, jobs in envelopes.items():
                queue = deque(jobs)
                while queue:
                    await self._submit(worker, pack(queue, lambda job: job.size))
            await self._send_control(host)
            if self._send_interval_s:
                await asyncio.sleep(self._send_interval_s)
        finally:
            host.sending = False
        self.dispatch()

    async def _submit(self, worker: WorkerView, jobs: list[PendingJob]) -> None:
        now = self._loop.time()
        for job in jobs:
            job.times_sent += 1
            job.sent_at = now
        message = Submit(self._channel, tuple(job.as_job(now) for job in jobs), worker.id)
        if await self._send(worker.host, message):
            for job in jobs:
                if record := worker.host.records.get(job.job_id):
                    record.stamp = self._heartbeat.newest
            return
        for job in jobs:  # rule 6
            self._registry.drop_record(worker.host, job.job_id)
        self.put_back(jobs)

    async def _send_control(self, host: HostView) -> None:
        to_go, host.pending_go = host.pending_go, []
        to_cancel, host.pending_cancel = host.pending_cancel, set()
        to_describe, host.pending_want = host.pending_want, set()
        for job_id in to_go:
            await self._send(host, Go(self._channel, job_id))
        if to_cancel:
            await self._send(host, Cancel(self._channel, tuple(sorted(to_cancel))))
        for worker_id in to_describe & host.workers.keys():
            host.workers[worker_id].asked_at = self._heartbeat.newest
        if to_describe:
            await self._send(host, Want(self._channel, tuple(sorted(to_describe))))

    async def _send(self, host: HostView, message: Message) -> bool:
        try:
            await send(self._layer, host.channel, message)
        except Exception as error:
            host.close()
            self._heartbeat.health.failed(f"sending to worker host {host.id}: {error!r}")
            return False
        return True
