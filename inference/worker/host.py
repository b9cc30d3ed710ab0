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

from inference.backends.base import Load
from inference.catalog import Catalog
from inference.conf import Conf
from inference.messaging.cancellation import cancel_and_wait
from inference.messaging.codec import TYPES, UnknownMessage
from inference.messaging.layer import ChannelLayer
from inference.messaging.layer_health import LayerHealth
from inference.messaging.messages import ROUTE, WORKERS_GROUP, Hello, host_channel
from inference.messaging.receiving import receive_forever
from inference.worker.consumer import WorkerConsumer
from inference.worker.executors import Executors, ThreadExecutor
from inference.worker.intake import Intake
from inference.worker.loading import Loading
from inference.worker.pipeline_worker import PipelineWorker
from inference.worker.placement import Placement
from inference.worker.process_figures import ProcessFigures
from inference.worker.turns import Turns
from inference.worker.watchdog import ModelHangs, Watchdog

logger = logging.getLogger(__name__)

MEMBERSHIP_PERIOD_S = 1.0
STOPPED_TIMEOUT_S = 2.0
"""How long a host tries to send its last status, ``stopped``."""
GIVE_BACK_S = 1.0
"""How long a host with a model that hangs gives back waiting jobs and answers those that other threads still run."""


class WorkerHost(Worker):
    """One start of a host: a new id, a new job channel. It runs its own consumer, whatever the project routes.

    Args:
        catalog: the pipelines that it may load, and does where no operator wants it otherwise.
        load: makes a pipeline; called on a thread of its own.
    """

    def __init__(self, channel_layer: ChannelLayer, conf: Conf, catalog: Catalog, load: Load) -> None:
        super().__init__(WorkerConsumer.as_asgi(), [ROUTE], cast("BaseChannelLayer", channel_layer))
        self.id = secrets.token_hex(6)
        self.job_channel = host_channel(self.id)
        self._load = load
        self._ready_at: float | None = None
        self._drain_s = conf.drain_s
        self._drained = asyncio.Event()
        self._ordered: asyncio.Task[None] | None = None
        """The drain that an operator ordered."""
        self._health = LayerHealth()
        self._watchdog = Watchdog(conf.deadline_s)
        figures = ProcessFigures().read
        self._intake = Intake(channel_layer, self.id, self.job_channel, self._on_hello, figures)
        self._placement = Placement(catalog, self._intake, self._spawn, self._on_ready)
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks: dict[
            asyncio.Task[None], None
        ] = {}  # in order: what is cancelled first does not depend on addresses

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
        loading = Loading(self.id, self._load, Turns(executors))
        self._spawn(self.application_checker())
        self._spawn(self._keep_membership())
        self._spawn(receive_forever(self.channel_layer, self.job_channel, self._to_consumer, self._health))
        self._spawn(self._placement.run(loading))
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
            executors.close(partial(_close, self._intake.workers) if close_pipelines else None)

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
    def workers(self) -> list[PipelineWorker]:
        """The newest of each pipeline."""
        return self._placement.workers

    @property
    def is_replaced(self) -> bool:
        """An operator ordered its drain: another one shall take its place."""
        return self._ordered is not None

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

    def delete_all_instances(self) -> None:
        for scope_id in list(self.application_instances):
            self.delete_application_instance(scope_id)

    # Running

    async def _give_back(self) -> None:
        """Return waiting jobs of all pipelines, so that they run elsewhere at once (rule 13).

        The jobs of the call that hangs stay held: only the loss of the host makes them suspects.
        """
        if not self._intake.ends:
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

    def _on_hello(self, hello: Hello) -> None:
        self._placement.obey(hello.orders)
        if self.id in hello.drain and not self._intake.ends and self._ordered is None:
            logger.info("An operator ordered a drain of worker host %s", self.id)
            self._ordered = asyncio.get_running_loop().create_task(self.drain(self._drain_s))

    def _on_ready(self) -> None:
        self._intake.state = "ready"
        if self._ready_at is None:
            self._ready_at = asyncio.get_running_loop().time()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run a task of the host; one that fails ends the host with its error."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._on_end)
        return task

    def _on_end(self, task: "asyncio.Task[None]") -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) and not self._failed.done():
            self._failed.set_exception(error)


def _close(workers: list[PipelineWorker]) -> None:
    for worker in workers:
        worker.close_pipeline()
