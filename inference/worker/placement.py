"""Which pipelines a host has loaded: those of its catalog, as operators want them (rules 17 to 19).

Rules by number are those of docs/architecture.md, section "The protocol between web and worker".
"""

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from inference.backends.base import LoadFailed
from inference.catalog import Catalog, PipelineSpec
from inference.messaging.messages import Order
from inference.worker.intake import Intake
from inference.worker.loading import Loading
from inference.worker.pipeline_worker import PipelineWorker

logger = logging.getLogger(__name__)

RETRY_FIRST_S, RETRY_LAST_S = 60.0, 300.0
"""Pauses before a pipeline that could not be loaded is loaded again."""
INTRODUCED_S = 3.0
"""How long a worker goes on for web processes that have not heard what its successor serves."""

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


@dataclass(eq=False)
class Place:
    """A pipeline of the catalog at this host."""

    spec: PipelineSpec
    worker: PipelineWorker
    """The newest that is not loaded beside another."""
    order: Order | None = None
    """The newest that was heard."""
    retry_at: float = -math.inf
    pause_s: float = RETRY_FIRST_S

    @property
    def unwanted(self) -> bool:
        return self.order is not None and self.order.kind == "unload"

    @property
    def generation(self) -> int:
        return self.order.generation if self.order else 0


class Placement:
    """Loads pipelines one after the other, in the order of the catalog, and unloads them.

    Args:
        spawn: runs a task of the host.
        on_ready: called when a pipeline was loaded.
    """

    def __init__(self, catalog: Catalog, intake: Intake, spawn: Spawn, on_ready: Callable[[], None]) -> None:
        self._places = {spec.name: Place(spec, PipelineWorker(spec)) for spec in catalog}
        self._first = set(self.workers)
        for worker in self.workers:
            intake.add(worker)
        self._intake = intake
        self._spawn = spawn
        self._on_ready = on_ready
        self._clock = asyncio.get_running_loop().time
        self._wake = asyncio.Event()

    @property
    def workers(self) -> list[PipelineWorker]:
        """The newest of each pipeline."""
        return [place.worker for place in self._places.values()]

    # Orders

    def obey(self, orders: Iterable[Order]) -> None:
        """Rule 17: the newest order of each pipeline counts, however often it is heard."""
        for order in orders:
            place = self._places.get(order.pipeline)
            if place is None or order.generation < place.generation:
                continue
            is_new = order.generation > place.generation
            place.order = order  # also if it is known: its turn may have come
            if is_new:
                self._follow(place, order)
        self._wake.set()

    def _follow(self, place: Place, order: Order) -> None:
        worker, place.retry_at, place.pause_s = place.worker, -math.inf, RETRY_FIRST_S
        logger.info("Pipeline %s: an operator ordered %s", place.spec.name, order.kind)
        if order.kind != "reload" or order.age_s > self._clock() - worker.began_at:
            worker.generation = order.generation  # nothing is to be read again, or it was read after the order
        if order.kind == "unload":
            for each in self._intake.workers:
                if each.name == worker.name and each.state == "ready":
                    self._retire(place, each)
            if worker.state == "failed" or worker.began_at == math.inf:
                worker.state, worker.reason = "unloaded", ""
                self._intake.changed()

    def _due(self, place: Place) -> bool:
        """Whether something is to be loaded now."""
        if place.unwanted:
            return False
        match place.worker.state:
            case "starting" | "unloaded":
                return True
            case "failed":
                return self._clock() >= place.retry_at
            case "ready" if (order := place.order) is not None and order.kind == "reload":
                return place.worker.generation < order.generation and order.turn == self._intake.host_id
        return False

    # Loading

    async def run(self, loading: Loading) -> None:
        """Load what is due until the host drains.

        Raises:
            LoadFailed: of the only pipeline when the host starts: there is nothing to wait for.
        """
        self._loading = loading
        while not self._intake.ends:
            self._wake.clear()
            if place := next(filter(self._due, self._places.values()), None):
                await self._bring(place)
                continue
            retry_at = min((p.retry_at for p in self._places.values() if p.worker.state == "failed"), default=math.inf)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(retry_at if retry_at < math.inf else None):
                    await self._wake.wait()

    async def _bring(self, place: Place) -> None:
        """Load the pipeline, beside the one that serves if there is one (rule 19)."""
        old = place.worker if place.worker.state == "ready" else None
        if old is not None and place.order is not None and place.order.unload_first:
            self._retire(place, old)
            return  # it is loaded when it is unloaded
        worker = self._beginner(place)
        try:
            pipeline, share = await self._loading.load(worker)
        except Exception as error:
            if not self._intake.ends:
                self._not_loaded(place, worker, old, error)
            return
        if not self._intake.ends:  # otherwise it is closed with the others
            worker.task = self._spawn(worker.open(pipeline, share, self._intake).run())
            self._take_over(place, worker, old)

    def _beginner(self, place: Place) -> PipelineWorker:
        """A worker that begins to load, under a new id unless the last one came to nothing."""
        worker = place.worker
        if worker.state in ("ready", "unloaded"):
            worker = PipelineWorker(place.spec)
            if place.worker.state == "unloaded":
                self._intake.remove(place.worker)
                place.worker = worker
            self._intake.add(worker)
        worker.generation, worker.began_at, worker.state = place.generation, self._clock(), "starting"
        worker.wanted = lambda: not place.unwanted
        self._intake.changed()
        return worker

    def _take_over(self, place: Place, worker: PipelineWorker, old: PipelineWorker | None) -> None:
        """It is ready to serve, if that is still wanted."""
        if place.unwanted:
            self._retire(place, worker)
            return
        place.worker, place.pause_s = worker, RETRY_FIRST_S
        self._on_ready()
        self._intake.changed()
        if old is not None and old.state == "unloaded":  # by orders that came meanwhile
            self._intake.remove(old)
        elif old is not None:
            self._spawn(self._hand_over(place, old, worker))

    def _not_loaded(self, place: Place, worker: PipelineWorker, old: PipelineWorker | None, error: Exception) -> None:
        """Raises the error of the only pipeline that a host starts with."""
        if place.unwanted:
            self._unload(place, worker)
            return
        if len(self._places) == 1 and worker in self._first:
            raise error
        reason = str(error) if isinstance(error, LoadFailed) else f"It could not be loaded: {error!r}."
        reason = worker.spec.in_its_words(reason)
        if old is None:
            worker.fail(reason)
            pause_s = place.pause_s
            place.retry_at, place.pause_s = self._clock() + pause_s, min(2 * pause_s, RETRY_LAST_S)
            then = f"is not served, the others are; it is loaded again in {pause_s:g} s"
        else:
            self._intake.remove(worker)
            old.keep(worker.generation, f"It was not reloaded. {reason}")
            then = "is served as before: it could not be reloaded"
        trace = None if isinstance(error, LoadFailed) else error
        logger.error("Pipeline %s %s (%s): %s", worker.name, then, worker.spec.where, reason, exc_info=trace)
        self._intake.changed()

    # Unloading

    async def _hand_over(self, place: Place, old: PipelineWorker, new: PipelineWorker) -> None:
        await self._intake.introduced(new, INTRODUCED_S)
        if old.state == "ready":
            self._retire(place, old)

    def _retire(self, place: Place, worker: PipelineWorker) -> None:
        """Let a worker finish what it has begun, and free its memory (rule 18)."""
        self._intake.withdraw(worker)
        self._spawn(self._finish(place, worker))

    async def _finish(self, place: Place, worker: PipelineWorker) -> None:
        await self._intake.emptied_of(worker)
        await self._loading.close(worker)
        if not self._intake.ends:
            self._unload(place, worker)

    def _unload(self, place: Place, worker: PipelineWorker) -> None:
        """It is closed, or was not loaded."""
        if worker is place.worker:
            worker.state, worker.reason = "unloaded", ""
        else:
            self._intake.remove(worker)
        for other in self._places.values():  # there may be memory for it now
            other.retry_at = -math.inf
        self._intake.changed()
        self._wake.set()
        logger.info("Pipeline %s: worker %s is unloaded", worker.name, worker.id)
