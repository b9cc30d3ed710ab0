"""Which worker gets which job: assigns waiting jobs to workers with credit and sends them.

The rules by number are those of docs/architecture.md, section "The protocol between web and worker".
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Sequence

from inference.messaging.envelopes import pack
from inference.messaging.layer import ChannelLayer, send, send_interval_of
from inference.messaging.messages import Cancel, Go, Message, Submit
from inference.scheduling.calls import Call, PendingJob
from inference.scheduling.fair_queue import FairQueue
from inference.scheduling.worker_registry import Record, WorkerRegistry, WorkerView


class Assigner:
    """Assigns jobs to workers with credit, as late as possible. At most one send per worker is in progress.

    Args:
        channel: reply channel of this web process.
        newest_hello: returns the number of the newest hello, with which records are stamped.
        on_failure: called with a description of each failure of the layer.
    """

    def __init__(
        self,
        layer: ChannelLayer,
        channel: str,
        registry: WorkerRegistry,
        newest_hello: Callable[[], int],
        on_failure: Callable[[str], None],
    ) -> None:
        self.redispatched = 0
        """Jobs that were put back into the queue, so far."""
        self.tasks: set[asyncio.Task[None]] = set()
        self._layer = layer
        self._channel = channel
        self._registry = registry
        self._newest_hello = newest_hello
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._send_interval_s = send_interval_of(layer)
        self._waiting: defaultdict[str, FairQueue] = defaultdict(FairQueue)

    @property
    def waiting(self) -> int:
        """Jobs that wait for a worker with credit."""
        return sum(map(len, self._waiting.values()))

    def add(self, call: Call) -> None:
        """Queue the jobs of a new call, and send what can be sent."""
        self._waiting[call.work.version].add(call)
        self.dispatch()

    def discard(self, call: Call) -> None:
        """Remove the waiting jobs of a settled call."""
        self._waiting[call.work.version].discard(call)

    def withdraw(self, job: PendingJob) -> None:
        """Remove a job that was answered while it waited to be sent again."""
        self._waiting[job.call.work.version].withdraw(job)

    def put_back(self, jobs: Sequence[PendingJob]) -> None:
        """Queue jobs again, ahead of all others, except those that another worker holds too."""
        for job in jobs:
            if not self._registry.is_held(job.job_id):
                self.redispatched += job.wanted and not job.waiting
                self._waiting[job.call.work.version].put_back(job)

    def superseded(self) -> set[Call]:
        """Calls with jobs waiting for a version that no ready worker serves, while others serve another version."""
        calls: set[Call] = set()
        for version, waiting in list(self._waiting.items()):
            if self._registry.serving() and not self._registry.ready_for(version):
                calls |= waiting.calls()
                if not waiting:
                    del self._waiting[version]
        return calls

    def dispatch(self) -> None:
        """Start to send all jobs for which there is credit, and all pending ``go`` and ``cancel`` messages."""
        envelopes: dict[WorkerView, list[PendingJob]] = {}
        for version, waiting in self._waiting.items():
            while (worker := self._registry.select(version)) is not None and (job := waiting.take()) is not None:
                worker.records[job.job_id] = Record()
                envelopes.setdefault(worker, []).append(job)
        for worker in self._registry:
            if not worker.sending and (worker in envelopes or worker.has_pending_control):
                worker.sending = True
                task = self._loop.create_task(self._send_all(worker, envelopes.get(worker, [])))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)

    async def _send_all(self, worker: WorkerView, jobs: list[PendingJob]) -> None:
        try:
            queue = deque(jobs)
            while queue:
                await self._submit(worker, pack(queue, lambda job: job.size))
            await self._send_control(worker)
            if self._send_interval_s:
                await asyncio.sleep(self._send_interval_s)
        finally:
            worker.sending = False
        self.dispatch()

    async def _submit(self, worker: WorkerView, jobs: list[PendingJob]) -> None:
        now = self._loop.time()
        for job in jobs:
            job.times_sent += 1
            job.sent_at = now
        message = Submit(self._channel, tuple(job.as_job(now) for job in jobs))
        if await self._send(worker, message):
            for job in jobs:
                if record := worker.records.get(job.job_id):
                    record.stamp = self._newest_hello()
            return
        for job in jobs:  # rule 6
            worker.records.pop(job.job_id, None)
        self.put_back(jobs)

    async def _send_control(self, worker: WorkerView) -> None:
        to_go, worker.pending_go = worker.pending_go, []
        to_cancel, worker.pending_cancel = worker.pending_cancel, set()
        for job_id in to_go:
            await self._send(worker, Go(self._channel, job_id))
        if to_cancel:
            await self._send(worker, Cancel(self._channel, tuple(to_cancel)))

    async def _send(self, worker: WorkerView, message: Message) -> bool:
        try:
            await send(self._layer, worker.channel, message)
        except Exception as error:
            worker.closed = True
            self._on_failure(f"sending to worker {worker.id}: {error!r}")
            return False
        return True
