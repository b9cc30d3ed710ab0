"""The background worker process, or its part of an embedded one: Channels' ``Worker`` with a job channel of its own.

``runworker inference`` runs a host in a process of its own; in embedded mode one runs on the web process's event loop.
Either way the models are on threads of their own.
"""

import asyncio
import logging
import secrets
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, cast

from channels.layers import BaseChannelLayer
from channels.worker import Worker

from inference.backends.base import BatchedPipeline, Load, LoadFailed, SteppedPipeline
from inference.catalog import Catalog
from inference.conf import Conf
from inference.messaging.cancellation import cancel_and_wait
from inference.messaging.codec import TYPES, UnknownMessage
from inference.messaging.layer import ChannelLayer
from inference.messaging.layer_health import LayerHealth
from inference.messaging.messages import ROUTE, WORKERS_GROUP, host_channel
from inference.messaging.receiving import receive_forever
from inference.worker.consumer import WorkerConsumer
from inference.worker.executors import Executors, ThreadExecutor
from inference.worker.intake import Intake
from inference.worker.model_turn import ModelTurn
from inference.worker.pipeline_worker import PipelineWorker
from inference.worker.turns import Turns
from inference.worker.watchdog import ModelHangs, Watchdog

logger = logging.getLogger(__name__)

MEMBERSHIP_PERIOD_S = 1.0
STOPPED_TIMEOUT_S = 2.0
"""How long a host tries to send its last status, ``stopped``."""
GIVE_BACK_S = 1.0
"""How long a host with a model that hangs gives back waiting jobs and answers those that other threads still run."""
RETRY_FIRST_S, RETRY_LAST_S = 60.0, 300.0
"""Pauses before a pipeline that could not be loaded is loaded again, beside others that are served."""


class WorkerHost(Worker):
    """One start of a host: a new id, a new job channel. It runs its own consumer, whatever the project routes.

    Args:
        catalog: the pipelines that it loads, one after the other.
        load: makes a pipeline; called on a thread of its own.
    """

    def __init__(self, channel_layer: ChannelLayer, conf: Conf, catalog: Catalog, load: Load) -> None:
        super().__init__(WorkerConsumer.as_asgi(), [ROUTE], cast("BaseChannelLayer", channel_layer))
        self.id = secrets.token_hex(6)
        self.job_channel = host_channel(self.id)
        self.workers = [PipelineWorker(spec) for spec in catalog]
        self._ready_at: float | None = None
        self._load_pipeline = load
        self._drained = asyncio.Event()
        self._health = LayerHealth()
        self._watchdog = Watchdog(conf.deadline_s)
        self._intake = Intake(channel_layer, self.id, self.job_channel, self.workers)
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks: list[asyncio.Task[None]] = []

    async def arun(self) -> None:
        """Load, serve until drained.

        Raises:
            LoadFailed: its only pipeline cannot be served; the message is one sentence for the operator.
            ModelHangs: a call of a model does not end. Waiting jobs were given back; the host has stopped.
            DeviceLost: likewise, and this process cannot use the device any more.
        """
        executors = Executors(
            ThreadExecutor(f"tokenizer-{self.id}", self._watchdog), ThreadExecutor(f"model-{self.id}", self._watchdog)
        )
        turns = Turns(executors)
        self._spawn(self.application_checker())
        self._spawn(self._keep_membership())
        self._spawn(receive_forever(self.channel_layer, self.job_channel, self._to_consumer, self._health))
        self._spawn(self._load_all(turns))
        self._spawn(self._watchdog.watch())
        drained = asyncio.create_task(self._drained.wait())
        close_pipelines = True
        try:
            await asyncio.wait((drained, self._failed), return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                if isinstance(self._failed.exception(), ModelHangs):
                    close_pipelines = False  # a call is still in the model, or its device is lost
                    await self._give_back()
                self._failed.result()
        finally:
            await cancel_and_wait([drained, *self._tasks, *self._intake.stop()])
            self.delete_all_instances()
            executors.close(self._close_pipelines if close_pipelines else None)

    async def drain(self, timeout_s: float) -> None:
        """Give back what has not started, finish the rest within ``timeout_s``, send ``stopped``, and end ``arun``."""
        logger.info("Worker host %s is draining: %d jobs are held", self.id, self._intake.held)
        self._intake.enter("draining")
        try:
            async with asyncio.timeout(timeout_s):
                await self._intake.emptied()
        except TimeoutError:
            logger.warning("Worker host %s stops with work unfinished after %g s", self.id, timeout_s)
        self._intake.enter("stopped")
        try:
            async with asyncio.timeout(STOPPED_TIMEOUT_S):
                await self.channel_layer.group_discard(WORKERS_GROUP, self.job_channel)
                await self._intake.emptied()
        except Exception as error:
            logger.debug("The last status of worker host %s could not be sent: %r", self.id, error)
        logger.info("Worker host %s has stopped", self.id)
        self._drained.set()

    @property
    def is_ready(self) -> bool:
        """At least one pipeline is served, and it does not drain."""
        return self._intake.state == "ready"

    @property
    def was_ready(self) -> bool:
        """At least one pipeline was."""
        return self._ready_at is not None

    @property
    def ready_s(self) -> float:
        """How long ago the first pipeline became ready; 0 if none was."""
        return 0.0 if self._ready_at is None else asyncio.get_running_loop().time() - self._ready_at

    @property
    def held(self) -> int:
        """Jobs received and not yet answered."""
        return self._intake.held

    @property
    def _ends(self) -> bool:
        return self._intake.state in ("draining", "stopped")

    def delete_all_instances(self) -> None:
        for scope_id in list(self.application_instances):
            self.delete_application_instance(scope_id)

    # Loading

    async def _load_all(self, turns: Turns) -> None:
        """One after the other, in the order of the catalog; those that fail are tried again after a while.

        Raises:
            LoadFailed: of the only pipeline, for which there is nothing to wait.
        """
        waiting, pause_s = list(self.workers), RETRY_FIRST_S
        while waiting:
            failed = []
            for worker in waiting:
                if self._ends:
                    return
                try:
                    await self._load(worker, turns)
                except Exception as error:
                    if len(self.workers) == 1:
                        raise
                    if not self._ends:
                        self._note_failure(worker, error, pause_s)
                    failed.append(worker)
            if waiting := failed:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_LAST_S)

    async def _load(self, worker: PipelineWorker, turns: Turns) -> None:
        worker.state = "starting"
        self._intake.changed()
        share = turns.join(worker.spec.weight)
        loader = ThreadExecutor(f"loader-{self.id}")  # it ends after loading, and with it the threads of its libraries
        turn = ModelTurn(share)
        try:
            pipeline = await loader.run(partial(self._load_pipeline, worker.spec.conf, worker.report, turn))
            worker.pipeline = pipeline  # from now on it is closed with the others
            await self._set_threads(turns.executors, pipeline)
        except BaseException:
            turn.end()
            turns.leave(share)
            raise
        finally:
            loader.close()
        if self._ends:
            turns.leave(share)
            return
        self._spawn(worker.open(pipeline, share, self._intake).run())
        self._intake.state = "ready"
        if self._ready_at is None:
            self._ready_at = asyncio.get_running_loop().time()
        self._intake.changed()

    def _note_failure(self, worker: PipelineWorker, error: Exception, pause_s: float) -> None:
        reason = str(error) if isinstance(error, LoadFailed) else f"It could not be loaded: {error!r}."
        reason = worker.spec.in_its_words(reason)
        logger.error(
            "Pipeline %s is not served, the others are; it is loaded again in %g s (%s): %s",
            worker.name,
            pause_s,
            worker.spec.where,
            reason,
            exc_info=None if isinstance(error, LoadFailed) else error,
        )
        worker.fail(reason)
        self._intake.changed()

    async def _set_threads(self, executors: Executors, pipeline: BatchedPipeline | SteppedPipeline) -> None:
        """Let the executors use the cores that the pipeline was loaded for; add those that run side by side."""
        threads = pipeline.description.threads
        side_by_side = 1 if isinstance(pipeline, SteppedPipeline) else pipeline.concurrent_batches
        if side_by_side > 1 and not executors.narrow:
            names = (f"model-{self.id}-{number}" for number in range(side_by_side))
            executors.narrow = tuple(ThreadExecutor(name, self._watchdog) for name in names)
        part = max(1, threads // executors.side_by_side)
        # Unwatched: calls of other pipelines may go first.
        await executors.wide.run(partial(pipeline.use_threads, threads), watched=False)
        for executor in executors.narrow:
            await executor.run(partial(pipeline.use_threads, part), watched=False)

    def _close_pipelines(self) -> None:
        for worker in self.workers:
            worker.close_pipeline()

    # Running

    async def _give_back(self) -> None:
        """Return waiting jobs of all pipelines, so that they run elsewhere at once (rule 13).

        The jobs of the call that hangs stay held: only the loss of the host makes them suspects.
        """
        if not self._ends:
            self._intake.enter("draining")
        with suppress(TimeoutError):
            async with asyncio.timeout(GIVE_BACK_S):
                await self._intake.emptied()

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

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a task of the host; one that fails ends the host with its error."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._on_end)

    def _on_end(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) and not self._failed.done():
            self._failed.set_exception(error)
