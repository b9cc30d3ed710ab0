"""The background worker: Channels' ``Worker`` with a job channel of its own.

``runworker inference`` runs one in a process of its own; in embedded mode it runs on the web process's event loop.
Either way the model is on threads of its own.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from channels.layers import BaseChannelLayer
from channels.worker import Worker

from inference.backends.base import BatchedPipeline, Load, SteppedPipeline
from inference.conf import Conf
from inference.messaging.cancellation import cancel_and_wait
from inference.messaging.codec import TYPES, UnknownMessage
from inference.messaging.layer import ChannelLayer
from inference.messaging.layer_health import LayerHealth
from inference.messaging.messages import ROUTE, WORKERS_GROUP, Description, worker_channel
from inference.messaging.receiving import receive_forever
from inference.worker.batching.batcher import Batcher
from inference.worker.batching.continuous_batcher import ContinuousBatcher
from inference.worker.batching.policy import BatchLimits
from inference.worker.consumer import WorkerConsumer
from inference.worker.executors import Executors, ThreadExecutor
from inference.worker.intake import Intake
from inference.worker.job_runner import JobRunner
from inference.worker.watchdog import Watchdog

logger = logging.getLogger(__name__)

CREDIT_BATCHES = 4
"""Full batches that a worker wants to hold: the more it can choose from, the less it pads."""
MEMBERSHIP_PERIOD_S = 1.0
STOPPED_TIMEOUT_S = 2.0
"""How long a worker tries to send its last status, ``stopped``."""
GIVE_BACK_S = 1.0
"""How long a worker whose model hangs gives back waiting jobs and answers those that other threads still run."""


class InferenceWorker(Worker):
    """One start of a worker: a new id, a new job channel. It runs its own consumer, whatever the project routes.

    Args:
        load: makes the pipeline; called on the model's thread.
    """

    def __init__(self, channel_layer: ChannelLayer, conf: Conf, load: Load) -> None:
        super().__init__(WorkerConsumer.as_asgi(), [ROUTE], cast("BaseChannelLayer", channel_layer))
        self.id = secrets.token_hex(6)
        self.job_channel = worker_channel(self.id)
        self._ready_at: float | None = None
        self._conf = conf
        self._load = load
        self._close_pipeline: Callable[[], None] | None = None
        self._drained = asyncio.Event()
        self._health = LayerHealth()
        self._intake = Intake(channel_layer, self.id, self.job_channel, credit=CREDIT_BATCHES * conf.max_batch_size)

    async def arun(self) -> None:
        """Load, serve until drained.

        Raises:
            LoadFailed: the pipeline cannot be served; the message is one sentence for the operator.
            ModelHangs: a call of the model does not end. Waiting jobs were given back; the worker has stopped.
            DeviceLost: likewise, and this process cannot use the device any more.
        """
        watchdog = Watchdog(self._conf.deadline_s)
        executors = Executors(ThreadExecutor(f"tokenizer-{self.id}", watchdog), ThreadExecutor(f"model-{self.id}"))
        tasks = [
            asyncio.create_task(self.application_checker()),
            asyncio.create_task(self._keep_membership()),
            asyncio.create_task(receive_forever(self.channel_layer, self.job_channel, self._to_consumer, self._health)),
        ]
        try:
            pipeline = await executors.wide.run(lambda: self._load(self._conf, self._report))
            self._close_pipeline = pipeline.close
            executors.wide.watchdog = watchdog
            executors = await self._with_narrow(executors, pipeline)
            await self._serve(self._make_runner(pipeline, executors), pipeline.description, watchdog)
        finally:
            await cancel_and_wait([*tasks, *self._intake.stop()])
            self.delete_all_instances()
            executors.close(self._close_pipeline)

    async def _serve(self, runner: JobRunner, description: Description, watchdog: Watchdog) -> None:
        """Take jobs until drained. Raises what ends the runner or what the watchdog has found."""
        drained = asyncio.create_task(self._drained.wait())
        running, watching = asyncio.create_task(runner.run()), asyncio.create_task(watchdog.watch())
        try:
            self._intake.open(runner, description)
            self._ready_at = asyncio.get_running_loop().time()
            await asyncio.wait((drained, running, watching), return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                self._close_pipeline = None  # a call is still in the model, or its device is lost
                await self._give_back()
                watching.result()
            if running.done():
                running.result()
        finally:
            await cancel_and_wait([drained, running, watching])

    async def drain(self, timeout_s: float) -> None:
        """Give back what has not started, finish the rest within ``timeout_s``, send ``stopped``, and end ``arun``."""
        logger.info("Worker %s is draining: %d jobs are held", self.id, self._intake.held)
        self._intake.enter("draining")
        try:
            async with asyncio.timeout(timeout_s):
                await self._intake.emptied()
        except TimeoutError:
            logger.warning("Worker %s stops with work unfinished after %g s", self.id, timeout_s)
        self._intake.enter("stopped")
        try:
            async with asyncio.timeout(STOPPED_TIMEOUT_S):
                await self.channel_layer.group_discard(WORKERS_GROUP, self.job_channel)
                await self._intake.emptied()
        except Exception as error:
            logger.debug("The last status of worker %s could not be sent: %r", self.id, error)
        logger.info("Worker %s has stopped", self.id)
        self._drained.set()

    async def _give_back(self) -> None:
        """Return waiting jobs, so that they run elsewhere at once.

        The jobs of the call that hangs stay held: only the loss of the worker makes them suspects.
        """
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

    async def _with_narrow(self, executors: Executors, pipeline: BatchedPipeline | SteppedPipeline) -> Executors:
        """The same executors, and one more for each batch that may run at once."""
        if isinstance(pipeline, SteppedPipeline) or pipeline.concurrent_batches == 1:
            return executors
        watchdog = executors.wide.watchdog
        narrow = [
            ThreadExecutor(f"model-{self.id}-{number}", watchdog) for number in range(pipeline.concurrent_batches)
        ]
        share = pipeline.description.threads // pipeline.concurrent_batches
        for executor in narrow:
            await executor.run(lambda: pipeline.use_threads(share))
        return Executors(executors.tokenizer, executors.wide, narrow)

    def _make_runner(self, pipeline: BatchedPipeline | SteppedPipeline, executors: Executors) -> JobRunner:
        conf = self._conf
        if isinstance(pipeline, SteppedPipeline):
            limits = BatchLimits(max_batch_size=conf.max_batch_size, max_batch_tokens=conf.max_batch_tokens)
            return ContinuousBatcher(pipeline, executors, limits, self._intake)
        limits = BatchLimits(
            max_batch_size=conf.max_batch_size if pipeline.shares_calls else 1,
            max_batch_tokens=conf.max_batch_tokens,
            batch_window_s=conf.batch_window_ms / 1000,
            pads=pipeline.pads,
        )
        return Batcher(pipeline, executors, limits, self._intake)

    async def _keep_membership(self) -> None:
        """Renew it: memberships end silently (Redis emptied, or in memory one expired message)."""
        while True:
            try:
                await self.channel_layer.group_add(WORKERS_GROUP, self.job_channel)
            except Exception as error:
                self._health.failed("renewing the membership", error)
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
