"""The background worker: Channels' ``Worker`` with its own job channel, and the worker consumer.

``runworker inference`` runs one in a process of its own; embedded mode runs the same one on the web process's
event loop. Either way the model is on a thread of its own.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, cast

from channels.consumer import AsyncConsumer
from channels.layers import BaseChannelLayer
from channels.utils import await_many_dispatch
from channels.worker import Worker

from inference.backends.base import GeneratingPipeline, LoadedPipeline
from inference.conf import Conf
from inference.messaging.layer import ChannelLayer, LayerHealth, end, receive_forever
from inference.messaging.messages import (
    ROUTE,
    TYPES,
    WORKERS_GROUP,
    Cancel,
    Go,
    Hello,
    Submit,
    UnknownMessage,
    decode,
    worker_channel,
)
from inference.worker.batching.batcher import Batcher
from inference.worker.batching.continuous_batcher import ContinuousBatcher
from inference.worker.batching.policy import Limits
from inference.worker.executors import Executors, ThreadExecutor
from inference.worker.intake import Intake
from inference.worker.job_runner import JobRunner
from inference.worker.watchdog import Watchdog

logger = logging.getLogger(__name__)

CREDIT_BATCHES = 4
"""Full batches that a worker wants to hold: the more it can choose from, the less it pads."""
MEMBERSHIP_PERIOD_S = 1.0
LAST_WORDS_S = 2.0
"""How long a stopping worker tries to say ``stopped``."""
MOST_REPORTED = 1000
"""Different messages that could not be read; what comes beyond them is ignored without a word."""
GIVE_BACK_S = 1.0
"""How long a worker whose model hangs gives back what waits, and answers what another thread still runs."""

Load = Callable[[Conf, Callable[[str], None]], LoadedPipeline]
"""Loads and warms up; reports progress in words; raises ``LoadFailed`` with one sentence."""


class WorkerConsumer(AsyncConsumer):
    """Turns channel-layer messages into calls of the worker's intake (``scope["intake"]``).

    It takes no channel of its own, and its dispatch never raises: an exception in a Channels consumer drops
    everything that is queued behind it.
    """

    intake: Intake
    _reported: set[str]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        self.intake = scope["intake"]
        self._reported = set()
        await await_many_dispatch([receive], self.dispatch)

    async def dispatch(self, message: Any) -> None:
        # Without AsyncConsumer's aclose_old_connections(): a thread hop per message that one slow query would block.
        try:
            self._handle(message)
        except UnknownMessage as error:
            if str(error) not in self._reported and len(self._reported) < MOST_REPORTED:
                self._reported.add(str(error))
                logger.warning("Ignored: %s", error)
        except Exception:
            logger.exception("A message of type %s could not be handled", message.get("type"))

    def _handle(self, message: Any) -> None:
        match decode(message):
            case Hello() as hello:
                self.intake.hello(hello)
            case Submit() as submit:
                self.intake.submit(submit)
            case Cancel() as cancel:
                self.intake.cancel(cancel)
            case Go() as go:
                self.intake.go(go)
            case other:
                raise UnknownMessage(f"{type(other).__name__} is for web processes")


class InferenceWorker(Worker):
    """One start of a worker: a new id, a new job channel. It runs its own consumer, whatever the project routes.

    Args:
        load: makes the pipeline, on the model's thread.
    """

    def __init__(self, channel_layer: ChannelLayer, conf: Conf, load: Load) -> None:
        super().__init__(WorkerConsumer.as_asgi(), [ROUTE], cast("BaseChannelLayer", channel_layer))
        self.id = secrets.token_hex(6)
        self.job_channel = worker_channel(self.id)
        self._ready_at: float | None = None
        self._conf = conf
        self._load = load
        self._drained = asyncio.Event()
        self._health = LayerHealth()
        self._intake = Intake(channel_layer, self.id, self.job_channel, credit=CREDIT_BATCHES * conf.max_batch_size)

    async def arun(self) -> None:
        """Load, serve until drained.

        Raises:
            LoadFailed: the pipeline cannot be served; the message is one sentence for the operator.
            ModelHangs: this worker is of no more use. It has given back what waited, and says nothing more.
            DeviceLost: likewise, and so is this process.
        """
        watchdog = Watchdog(self._conf.deadline_s)
        thread, tokenizer_thread = ThreadExecutor(f"model-{self.id}"), ThreadExecutor(f"tokenizer-{self.id}", watchdog)
        executors = Executors(thread)
        close: Callable[[], None] | None = None
        drained = asyncio.create_task(self._drained.wait())
        tasks: list[asyncio.Task[Any]] = [
            drained,
            asyncio.create_task(self.application_checker()),
            asyncio.create_task(self._keep_membership()),
            asyncio.create_task(receive_forever(self.channel_layer, self.job_channel, self._to_consumer, self._health)),
        ]
        try:
            pipeline = await thread.run(lambda: self._load(self._conf, self._report))
            close = pipeline.close
            thread.watchdog = watchdog
            executors = await self._make_executors(pipeline, thread)
            runner = self._runner(pipeline, tokenizer_thread, executors)
            running, watching = asyncio.create_task(runner.run()), asyncio.create_task(watchdog.watch())
            tasks += [running, watching]
            self._intake.open(runner, pipeline.description)
            self._ready_at = asyncio.get_running_loop().time()
            await asyncio.wait((drained, running, watching), return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                close = None  # what hangs is at the model, or its device is lost
                await self._give_back()
                watching.result()
            if running.done():
                running.result()
        finally:
            await end([*tasks, *self._intake.close()])
            self.delete_all_instances()
            tokenizer_thread.close()
            executors.close(close and partial(self._free, tokenizer_thread, close))

    @staticmethod
    def _free(tokenizer_thread: ThreadExecutor, close: Callable[[], None]) -> None:
        """When no thread is at the model any more."""
        tokenizer_thread.join()
        close()

    async def drain(self, timeout_s: float) -> None:
        """Give back what has not started, finish the rest for at most ``timeout_s``, say so, and stop."""
        logger.info("Worker %s is draining: %d jobs are held", self.id, self._intake.held)
        self._intake.enter("draining")
        try:
            async with asyncio.timeout(timeout_s):
                await self._intake.emptied()
        except TimeoutError:
            logger.warning("Worker %s stops with work unfinished after %g s", self.id, timeout_s)
        self._intake.enter("stopped")
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                await self.channel_layer.group_discard(WORKERS_GROUP, self.job_channel)
                await self._intake.emptied()
        except Exception as error:
            logger.debug("Last words of worker %s were not taken: %r", self.id, error)
        logger.info("Worker %s has stopped", self.id)
        self._drained.set()

    async def _give_back(self) -> None:
        """What waits runs elsewhere, at once. What hangs is held on to: only a worker that is lost makes suspects."""
        if self._intake.state == "ready":
            self._intake.enter("draining")
        with suppress(TimeoutError):
            async with asyncio.timeout(GIVE_BACK_S):
                await self._intake.emptied()

    @property
    def was_ready(self) -> bool:
        return self._ready_at is not None

    @property
    def ready_s(self) -> float:
        """How long ago it became ready; 0 if it never was."""
        return 0.0 if self._ready_at is None else asyncio.get_running_loop().time() - self._ready_at

    @property
    def held(self) -> int:
        """Jobs received and not yet answered."""
        return self._intake.held

    def delete_all_instances(self) -> None:
        for scope_id in list(self.application_instances):
            self.delete_application_instance(scope_id)

    async def _make_executors(self, pipeline: LoadedPipeline, thread: ThreadExecutor) -> Executors:
        """Beside the thread that has loaded, and may use every core, one for each batch that may run at once."""
        if pipeline.concurrent_batches == 1:
            return Executors(thread)
        narrow = [
            ThreadExecutor(f"model-{self.id}-{number}", thread.watchdog)
            for number in range(pipeline.concurrent_batches)
        ]
        share = pipeline.description.threads // pipeline.concurrent_batches
        for each in narrow:
            await each.run(lambda: pipeline.use_threads(share))
        return Executors(thread, narrow)

    def _runner(self, pipeline: LoadedPipeline, tokenizer_thread: ThreadExecutor, executors: Executors) -> JobRunner:
        limits = Limits(
            max_batch_size=self._conf.max_batch_size if pipeline.shares_calls else 1,
            max_batch_tokens=self._conf.max_batch_tokens,
            batch_window_s=self._conf.batch_window_ms / 1000,
            pads=pipeline.pads,
        )
        on_event, on_close = self._intake.on_event, self._intake.on_close
        if isinstance(pipeline, GeneratingPipeline):
            return ContinuousBatcher(pipeline, tokenizer_thread, executors.wide, limits, on_event, on_close)
        return Batcher(pipeline, tokenizer_thread, executors, limits, on_event, on_close)

    async def _keep_membership(self) -> None:
        """Memberships end silently (Redis emptied, one expired message in memory): renew them."""
        while True:
            try:
                await self.channel_layer.group_add(WORKERS_GROUP, self.job_channel)
            except Exception as error:
                self._health.failed(f"renewing the membership: {error!r}")
            else:
                self._health.works()
            await asyncio.sleep(MEMBERSHIP_PERIOD_S)

    def _to_consumer(self, message: Any) -> None:
        if not isinstance(message, dict) or message.get("type") not in TYPES:
            raise UnknownMessage(f"not a message of this project: {str(message)[:200]}")
        scope = {"type": "channel", "channel": ROUTE, "intake": self._intake}
        self.get_or_create_application_instance(ROUTE, scope).put_nowait(message)

    def _report(self, progress: str) -> None:
        logger.info("Worker %s: %s", self.id, progress)
