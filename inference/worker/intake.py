"""A worker's side of the protocol with web processes: which jobs it holds for whom, and what it replies.

Rules by number are those of docs/architecture.md, section "The protocol between web and worker".
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from inference.messaging.layer import ChannelLayer
from inference.messaging.messages import (
    Cancel,
    Closing,
    Description,
    Error,
    Event,
    Go,
    Hello,
    Job,
    Result,
    Returned,
    State,
    Status,
    Submit,
    Totals,
)
from inference.observability import tracing
from inference.worker.item import Item
from inference.worker.job_runner import JobRunner
from inference.worker.outbox import Outbox

jobs = logging.getLogger("inference.jobs")
"""One record for each job that the worker closes."""

FORGET_WEB_AFTER_S = 30.0
"""Silence after which a web process is taken for gone; its jobs are dropped."""


@dataclass(eq=False)
class Web:
    """One web process, as this worker knows it."""

    outbox: Outbox
    sender: "asyncio.Task[None]"
    last_heard_at: float
    heard: int = 0
    held: set[int] = field(default_factory=set)


class Intake:
    """Takes messages of web processes, passes jobs to the runner, and sends each its replies (``JobReplies``).

    It holds at most twice its total credit and returns what is beyond; it never stops reading the channel.
    """

    def __init__(self, layer: ChannelLayer, worker_id: str, channel: str, credit: int) -> None:
        self.worker_id = worker_id
        self.state: State = "starting"
        self._layer = layer
        self._channel = channel
        self._credit = credit
        self._webs: dict[str, Web] = {}
        self._runner: JobRunner | None = None
        self._description: Description | None = None
        self._clock: Callable[[], float] = asyncio.get_running_loop().time
        self._changed = asyncio.Event()

    @property
    def held(self) -> int:
        return sum(len(web.held) for web in self._webs.values())

    # Messages from web processes

    def hello(self, message: Hello) -> None:
        web = self._web_of(message.reply_channel)
        web.heard = max(web.heard, message.n)
        web.outbox.status_due()
        self._forget_silent_webs()

    def submit(self, message: Submit) -> None:
        web = self._web_of(message.reply_channel)
        for job in message.jobs:
            if job.id in web.held:  # rule 3: delivered twice, or sent again
                if job.alone and self._runner:
                    self._runner.set_alone((message.reply_channel, job.id))
                continue
            self._take(web, message.reply_channel, job)

    def cancel(self, message: Cancel) -> None:
        if self._runner:
            for job_id in message.ids:
                self._runner.cancel((message.reply_channel, job_id))

    def go(self, message: Go) -> None:
        if self._runner:
            self._runner.go((message.reply_channel, message.id))

    # States of the worker

    def open(self, runner: JobRunner, description: Description) -> None:
        """Take jobs: the pipeline is loaded and warm."""
        self._runner, self._description = runner, description
        self.enter("ready")

    def enter(self, state: State) -> None:
        """Change the state and send it to every web process."""
        self.state = state
        if state == "draining" and self._runner:
            self._runner.return_waiting("draining")
        for web in self._webs.values():
            web.outbox.status_due()

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
        _report(item, closing)
        if web := self._webs.get(item.key[0]):
            web.outbox.put(closing)

    def _take(self, web: Web, channel: str, job: Job) -> None:
        full = self.held >= 2 * self._credit
        if self._runner is None or self.state != "ready" or full:
            web.held.add(job.id)
            web.outbox.put(Returned(job.id, "draining" if self.state == "draining" else "full"))
            return
        item = Item((channel, job.id), job, self._clock())
        web.held.add(job.id)
        self._runner.add(item)

    def _web_of(self, channel: str) -> Web:
        web = self._webs.get(channel)
        if web is None:
            web = self._webs[channel] = self._make_web(channel)
        web.last_heard_at = self._clock()
        return web

    def _make_web(self, channel: str) -> Web:
        outbox = Outbox(
            self._layer,
            channel,
            self.worker_id,
            make_status=lambda: self._status(web),
            on_taken=lambda closings: self._release(web, closings),
        )
        web = Web(outbox, asyncio.get_running_loop().create_task(outbox.run()), self._clock())
        return web

    def _status(self, web: Web) -> Status:
        share = max(1, self._total_credit() // max(1, len(self._webs)))
        return Status(
            worker=self.worker_id,
            channel=self._channel,
            heard=web.heard,
            state=self.state,
            description=self._description,
            queue_depth=self._runner.depth if self._runner else 0,
            cost=self._runner.cost.model if self._runner else None,
            job_ms=self._runner.cost.job_ms if self._runner else 0.0,
            totals=self._runner.totals if self._runner else Totals(),
            webs=len(self._webs),
            credit=share if self.state == "ready" else 0,
            held=tuple(web.held),
        )

    def _total_credit(self) -> int:
        """What the runner wants to hold, bounded by a few full batches."""
        return min(self._credit, self._runner.credit) if self._runner else self._credit

    def _forget_silent_webs(self) -> None:
        now = self._clock()
        for channel, web in list(self._webs.items()):
            if now - web.last_heard_at > FORGET_WEB_AFTER_S:
                del self._webs[channel]
                self._changed.set()
                web.sender.cancel()
                if self._runner:
                    for job_id in web.held:
                        self._runner.cancel((channel, job_id))

    def _release(self, web: Web, closings: Iterable[Closing]) -> None:
        """The layer has taken these closing entries: the jobs are not held any more."""
        web.held.difference_update(closing.id for closing in closings)
        self._changed.set()


def _report(item: Item, closing: Closing) -> None:
    """Log how a job ended, with the request's id and trace."""
    job = item.job
    extra: dict[str, object] = {**tracing.fields(job.request_id, job.traceparent), "job": job.id}
    if isinstance(closing, Result):
        extra |= {"batch_size": closing.batch_size, "inference_ms": closing.inference_ms}
        outcome = f"answered in a batch of {closing.batch_size}, {closing.inference_ms:.1f} ms"
    else:
        outcome = closing.code if isinstance(closing, Error) else f"returned, {closing.reason}"
    jobs.info("Job %d of request %s: %s", job.id, job.request_id, outcome, extra=extra)
