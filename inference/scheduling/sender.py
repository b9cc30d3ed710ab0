"""The sending half of the dispatcher: which waiting job goes to which worker, and when it is told so.

The rules by number are those of docs/architecture.md, section "The protocol between web and worker".
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Sequence

from inference.messaging.layer import ChannelLayer, pack, send, send_interval_of
from inference.messaging.messages import Cancel, Go, Message, Submit
from inference.scheduling.calls import Call, PendingJob
from inference.scheduling.fair_queue import FairQueue
from inference.scheduling.worker_registry import Record, WorkerRegistry, WorkerView


class Sender:
    """Binds waiting jobs to workers with credit, as late as possible; one envelope at a time to each worker.

    Args:
        channel: of this web process, where workers reply.
        newest_hello: number of the newest hello, with which records are stamped.
        failed: told how the layer failed.
    """

    def __init__(
        self,
        layer: ChannelLayer,
        channel: str,
        registry: WorkerRegistry,
        newest_hello: Callable[[], int],
        failed: Callable[[str], None],
    ) -> None:
        self.redispatched = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self._layer = layer
        self._channel = channel
        self._registry = registry
        self._newest_hello = newest_hello
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._send_interval_s = send_interval_of(layer)
        self._waiting: defaultdict[str, FairQueue] = defaultdict(FairQueue)

    @property
    def waiting(self) -> int:
        """Jobs that wait for a worker that may take them."""
        return sum(map(len, self._waiting.values()))

    def add(self, call: Call) -> None:
        """A new call."""
        self._waiting[call.work.version].add(call)
        self.pump()

    def discard(self, call: Call) -> None:
        """It is settled: nothing of it is sent any more."""
        self._waiting[call.work.version].discard(call)

    def withdraw(self, job: PendingJob) -> None:
        """It was answered after all."""
        self._waiting[job.call.work.version].withdraw(job)

    def put_back(self, jobs: Sequence[PendingJob]) -> None:
        """Before all that wait, unless another worker has them too."""
        for job in jobs:
            if not self._registry.held_elsewhere(job.job_id):
                self.redispatched += job.wanted and not job.waiting
                self._waiting[job.call.work.version].put_back(job)

    def superseded(self) -> set[Call]:
        """Calls with jobs that wait for a version which no worker serves any more, where others serve another."""
        found: set[Call] = set()
        for version, waiting in list(self._waiting.items()):
            if self._registry.serving() and not self._registry.ready_for(version):
                found |= waiting.calls()
                if not waiting:
                    del self._waiting[version]
        return found

    def pump(self) -> None:
        """Send what can be sent now: jobs as far as there is credit, and whatever else there is to say."""
        envelopes: dict[WorkerView, list[PendingJob]] = {}
        for version, waiting in self._waiting.items():
            while (worker := self._registry.freest(version)) is not None and (job := waiting.take()) is not None:
                worker.records[job.job_id] = Record()
                envelopes.setdefault(worker, []).append(job)
        for worker in self._registry:
            if not worker.sending and (worker in envelopes or worker.has_words):
                worker.sending = True
                task = self._loop.create_task(self._tell(worker, envelopes.get(worker, [])))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)

    async def _tell(self, worker: WorkerView, jobs: list[PendingJob]) -> None:
        try:
            queue = deque(jobs)
            while queue:
                await self._submit(worker, pack(queue, lambda job: job.size))
            await self._say_words(worker)
            if self._send_interval_s:
                await asyncio.sleep(self._send_interval_s)
        finally:
            worker.sending = False
        self.pump()

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

    async def _say_words(self, worker: WorkerView) -> None:
        goes, worker.goes = worker.goes, []
        cancels, worker.cancels = worker.cancels, set()
        for job_id in goes:
            await self._send(worker, Go(self._channel, job_id))
        if cancels:
            await self._send(worker, Cancel(self._channel, tuple(cancels)))

    async def _send(self, worker: WorkerView, message: Message) -> bool:
        try:
            await send(self._layer, worker.channel, message)
        except Exception as error:
            worker.closed = True
            self._failed(f"sending to worker {worker.id}: {error!r}")
            return False
        return True
