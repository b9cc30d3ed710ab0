"""A host's side of the protocol with web processes: which jobs it holds for whom, and what it replies.

Rules by number are those of docs/architecture.md, section "The protocol between web and worker".
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from inference.messaging import previous_release
from inference.messaging.layer import ChannelLayer
from inference.messaging.messages import (
    DEFAULT_PIPELINE,
    RELEASE,
    Cancel,
    Closing,
    Description,
    Error,
    Event,
    Facts,
    Go,
    Hello,
    HostProcess,
    HostStatus,
    Job,
    Result,
    Returned,
    State,
    Submit,
    Want,
)
from inference.observability import tracing
from inference.worker.item import Item
from inference.worker.outbox import Outbox
from inference.worker.pipeline_worker import PipelineWorker

jobs = logging.getLogger("inference.jobs")
"""One record for each job that the host closes."""

TAKEN_S = 1.0
"""How long a suspect that has ended keeps its host while the layer does not take its closing entry."""
FORGET_WEB_AFTER_S = 30.0
"""Silence after which a web process is taken for gone; its jobs are dropped."""
FORGET_WEB_AFTER_PERIODS = 5
"""The same in hello periods of that process; the longer time counts."""


@dataclass(eq=False)
class Web:
    """One web process, as this host knows it."""

    outbox: Outbox
    sender: "asyncio.Task[None]"
    last_heard_at: float
    heard: int = 0
    period_s: float = 1.0
    release: int = 1
    observes: bool = False
    held: dict[int, PipelineWorker] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    """Ids of the workers whose facts were sent to it."""

    @property
    def asks(self) -> bool:
        """Whether it has to know what a worker serves before it gives jobs to it."""
        return self.release >= RELEASE and not self.observes


class Intake:
    """Takes messages of web processes, passes jobs to their workers, and sends each its replies (``JobReplies``).

    A worker holds at most twice its total credit and returns what is beyond; the host never stops reading the channel.

    Args:
        on_hello: called with each.
        process: figures of this process, for its statuses.
    """

    def __init__(
        self,
        layer: ChannelLayer,
        host_id: str,
        channel: str,
        on_hello: Callable[[Hello], object] = lambda hello: None,
        process: Callable[[], HostProcess] = HostProcess,
    ) -> None:
        self.host_id = host_id
        self.state: State = "starting"
        self._process = process
        self._layer = layer
        self._channel = channel
        self._workers: dict[str, PipelineWorker] = {}
        self._on_hello = on_hello
        self._webs: dict[str, Web] = {}
        self._clock: Callable[[], float] = asyncio.get_running_loop().time
        self._changed = asyncio.Event()

    @property
    def held(self) -> int:
        return sum(len(web.held) for web in self._webs.values())

    @property
    def ends(self) -> bool:
        return self.state in ("draining", "stopped")

    @property
    def workers(self) -> list[PipelineWorker]:
        """All of them, also those that others replace."""
        return list(self._workers.values())

    # Messages from web processes

    def hello(self, message: Hello) -> None:
        web = self._web_of(message.reply_channel)
        web.heard = max(web.heard, message.n)
        web.period_s, web.release, web.observes = message.period_s, message.release, message.observes
        web.outbox.due("status", partial(self._status, web))
        self._forget_silent_webs()
        self._on_hello(message)

    def want(self, message: Want) -> None:
        web = self._web_of(message.reply_channel)
        web.release = max(web.release, RELEASE)
        for worker_id in message.workers:
            if (worker := self._workers.get(worker_id)) and (description := worker.description):
                web.outbox.due(f"facts {worker_id}", partial(self._facts, web, worker_id, description))

    def submit(self, message: Submit) -> None:
        web = self._web_of(message.reply_channel)
        if message.worker:  # its first hello may have been lost
            web.release = max(web.release, RELEASE)
        worker = self._workers.get(message.worker) if message.worker else self._previously_only()
        for job in message.jobs:
            if job.id in web.held:  # rule 3: delivered twice, or sent again
                if job.alone and (runner := web.held[job.id].runner):
                    runner.set_alone((message.reply_channel, job.id))
                continue
            self._take(web, message.reply_channel, job, worker)

    def cancel(self, message: Cancel) -> None:
        web = self._webs.get(message.reply_channel)
        for job_id in message.ids:
            if web and (worker := web.held.get(job_id)) and worker.runner:
                worker.runner.cancel((message.reply_channel, job_id))

    def go(self, message: Go) -> None:
        web = self._webs.get(message.reply_channel)
        if web and (worker := web.held.get(message.id)) and worker.runner:
            worker.runner.go((message.reply_channel, message.id))

    # Workers

    def add(self, worker: PipelineWorker) -> None:
        self._workers[worker.id] = worker

    def remove(self, worker: PipelineWorker) -> None:
        """It is closed; jobs that still come for it are returned."""
        self._workers.pop(worker.id, None)

    def withdraw(self, worker: PipelineWorker) -> None:
        """It takes no more jobs and returns those that wait (rule 18)."""
        worker.state, worker.reason = "draining", ""
        if worker.runner:
            worker.runner.return_waiting("draining")
        self.changed()

    async def emptied_of(self, worker: PipelineWorker) -> None:
        """Wait until the layer has taken the closing entries of all its jobs."""
        while worker.held:
            self._changed.clear()
            await self._changed.wait()

    async def introduced(self, worker: PipelineWorker, timeout_s: float) -> None:
        """Wait until every web process has been told what it serves, but not for long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not all(worker.id in web.told for web in self._webs.values() if web.asks):
                    self._changed.clear()
                    await self._changed.wait()

    # States of the host

    def changed(self) -> None:
        """Tell every web process: a worker has entered another state."""
        for web in self._webs.values():
            web.outbox.due("status", partial(self._status, web))

    def enter(self, state: State) -> None:
        """Change the state of the host, and with it that of all its workers."""
        self.state = state
        if state in ("draining", "stopped"):
            for worker in self._workers.values():
                worker.state = state
                if state == "draining" and worker.runner:
                    worker.runner.return_waiting("draining")
        self.changed()

    async def emptied(self) -> None:
        """Wait until nothing is held and the layer has taken every reply."""
        while self.held:
            self._changed.clear()
            await self._changed.wait()
        await asyncio.gather(*(web.outbox.flushed() for web in self._webs.values()))

    def stop(self) -> "list[asyncio.Task[None]]":
        """Cancel the sending tasks and return them, to be awaited."""
        senders = [web.sender for web in self._webs.values()]
        for sender in senders:
            sender.cancel()
        return senders

    # Replies of the runner

    def event(self, item: Item, event: Event) -> None:
        if web := self._webs.get(item.key[0]):
            web.outbox.put(event)

    def close(self, item: Item, closing: Closing) -> None:
        web = self._webs.get(item.key[0])
        worker = web.held.get(item.job.id) if web else None
        _report(item, closing, worker.name if worker else "")
        if web:
            web.outbox.put(closing)

    async def taken(self, item: Item) -> None:
        channel, job_id = item.key
        with suppress(TimeoutError):
            async with asyncio.timeout(TAKEN_S):
                while (web := self._webs.get(channel)) and job_id in web.held:
                    self._changed.clear()
                    await self._changed.wait()

    def _take(self, web: Web, channel: str, job: Job, worker: PipelineWorker | None) -> None:
        if worker is None:  # of an earlier start of this pipeline
            web.outbox.put(Returned(job.id, "full"))
            return
        full = worker.full()
        web.held[job.id] = worker
        worker.held += 1
        if worker.runner is None or worker.state != "ready" or full:
            web.outbox.put(Returned(job.id, "draining" if worker.state == "draining" else "full"))
            return
        worker.runner.add(Item((channel, job.id), job, self._clock(), may_clear=web.release >= RELEASE))

    def _previously_only(self) -> PipelineWorker | None:
        """The worker that web processes of the release before may use: they know of no others."""
        named = [worker for worker in self._workers.values() if worker.name == DEFAULT_PIPELINE]
        return max(named, key=lambda worker: worker.state == "ready", default=None)

    def _web_of(self, channel: str) -> Web:
        web = self._webs.get(channel)
        if web is None:
            web = self._webs[channel] = self._make_web(channel)
        web.last_heard_at = self._clock()
        return web

    def _make_web(self, channel: str) -> Web:
        outbox = Outbox(self._layer, channel, self.host_id, on_taken=lambda closings: self._release(web, closings))
        web = Web(outbox, asyncio.get_running_loop().create_task(outbox.run()), self._clock())
        return web

    @property
    def _sharing(self) -> int:
        """Web processes that share the credit of each worker."""
        return sum(not web.observes for web in self._webs.values())

    def _status(self, web: Web) -> HostStatus | previous_release.Status | None:
        """As that web process understands it; ``None`` if there is nothing that it could."""
        status = HostStatus(
            host=self.host_id,
            channel=self._channel,
            heard=web.heard,
            state=self.state,
            webs=max(1, self._sharing),
            held=tuple(web.held),
            workers=tuple(worker.status(self._sharing) for worker in self._workers.values()),
            process=self._process(),
        )
        if web.release >= RELEASE:
            return status
        if (worker := self._previously_only()) is None:
            return None
        return previous_release.status_of(status, worker.status(self._sharing), worker.description)

    def _facts(self, web: Web, worker_id: str, description: Description) -> Facts:
        web.told.add(worker_id)
        self._changed.set()
        return Facts(self.host_id, worker_id, 1, description)

    def _forget_silent_webs(self) -> None:
        now = self._clock()
        for channel, web in list(self._webs.items()):
            if now - web.last_heard_at > max(FORGET_WEB_AFTER_S, FORGET_WEB_AFTER_PERIODS * web.period_s):
                del self._webs[channel]
                self._changed.set()
                web.sender.cancel()
                for job_id, worker in web.held.items():
                    worker.held -= 1
                    if worker.runner:
                        worker.runner.cancel((channel, job_id))

    def _release(self, web: Web, closings: Iterable[Closing]) -> None:
        """The layer has taken these closing entries: the jobs are not held any more."""
        for closing in closings:
            if worker := web.held.pop(closing.id, None):
                worker.held -= 1
        self._changed.set()


def _report(item: Item, closing: Closing, pipeline: str) -> None:
    """Log how a job ended, with the request's id and trace, and the pipeline that it was for."""
    job = item.job
    extra: dict[str, object] = {**tracing.fields(job.request_id, job.traceparent), "job": job.id, "pipeline": pipeline}
    if isinstance(closing, Result):
        extra |= {"batch_size": closing.batch_size, "inference_ms": closing.inference_ms}
        outcome = f"answered in a batch of {closing.batch_size}, {closing.inference_ms:.1f} ms"
    else:
        outcome = closing.code if isinstance(closing, Error) else f"returned, {closing.reason}"
    jobs.info("Job %d of request %s, pipeline %s: %s", job.id, job.request_id, pipeline, outcome, extra=extra)
