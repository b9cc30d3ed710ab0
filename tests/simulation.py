"""Real dispatchers and real workers that communicate through a layer that fails, in virtual time.

``World`` holds one faulty layer, web sides (``Dispatcher``) and workers (``WorkerHost`` with its consumer,
intake and batcher). Only the layer, the model and its threads are simulated: their time and faults are controlled.
"""

import asyncio
import logging
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, cast

import msgspec
import pytest
from channels.exceptions import ChannelFull

from inference import catalog
from inference.backends.base import Outcome
from inference.conf import Conf
from inference.control.desired import Desired, Wish
from inference.errors import Invalid
from inference.messaging.codec import decode, encode
from inference.messaging.layer import ChannelLayer
from inference.messaging.messages import Description, Facts, Hello, HostProcess, HostStatus, Job, Submit, Want
from inference.scheduling.calls import Answer, Superseded, Work
from inference.scheduling.dispatcher import Dispatcher
from inference.worker.executors import ThreadExecutor
from inference.worker.host import WorkerHost
from inference.worker.pipeline_worker import PipelineWorker
from inference.worker.watchdog import ModelHangs, Watchdog, is_device_lost

DESCRIPTION = Description(
    task="fill-mask",
    model="simulated",
    revision="",
    device="cpu",
    dtype="float32",
    threads=1,
    vocabulary=100,
    mask_token="",
    longest_input=512,
    longest_input_chars=10_000,
)
BATCH_S = 0.05
"""How long a batch takes."""

_ids = random.Random(0)
"""Makes the ids of webs, hosts and workers, in whose order a group gets its messages."""


def simulate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate whatever would differ between two runs: threads, the processor's time and ids.

    A ``World`` of the same seed then does the same in every process. What is logged for each job is left out.
    """
    monkeypatch.setattr(logging.getLogger("inference.jobs"), "disabled", True)
    for module in ("host", "loading"):
        monkeypatch.setattr(f"inference.worker.{module}.ThreadExecutor", SimulatedExecutor)
    monkeypatch.setattr("inference.worker.process_figures.ProcessFigures.read", lambda self: HostProcess())
    monkeypatch.setattr("secrets.token_hex", lambda size: _ids.randbytes(size).hex())
    monkeypatch.setattr("inference.worker.batching.batcher.compute_clock", lambda description: lambda: 0.0)


class FaultyLayer:
    """Delivers at most once, in order per channel; loses, delays, refuses and freezes as configured."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._queues: dict[str, asyncio.Queue[tuple[float, dict[str, Any]]]] = defaultdict(asyncio.Queue)
        self.groups: dict[str, set[str]] = defaultdict(set)
        self.loss = self.refusal = 0.0
        self.delay_s = 0.001
        self._thawed = asyncio.Event()
        self._thawed.set()
        self.down = False

    def freeze(self) -> None:
        self._thawed.clear()

    def thaw(self) -> None:
        self._thawed.set()

    def empty(self) -> None:
        """Forget all messages and memberships."""
        for queue in self._queues.values():
            while not queue.empty():
                queue.get_nowait()
        self.groups.clear()

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        await self._reach()
        if self._rng.random() < self.refusal:
            raise ChannelFull(channel)
        if self._rng.random() >= self.loss:
            arrives = asyncio.get_running_loop().time() + self.delay_s * self._rng.random()
            self._queues[channel].put_nowait((arrives, message))
        await asyncio.sleep(self.delay_s * self._rng.random())  # the send may return after the message was received

    async def receive(self, channel: str) -> dict[str, Any]:
        await self._reach()
        arrives, message = await self._queues[channel].get()
        await asyncio.sleep(max(0.0, arrives - asyncio.get_running_loop().time()))
        return message

    async def group_add(self, group: str, channel: str) -> None:
        await self._reach()
        self.groups[group].add(channel)

    async def group_discard(self, group: str, channel: str) -> None:
        await self._reach()
        self.groups[group].discard(channel)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """One round trip, whatever the number of members: dead ones are among them for a while."""
        await self._reach()
        sending = [self.send(channel, message) for channel in sorted(self.groups[group])]
        await asyncio.gather(*sending, return_exceptions=True)

    async def _reach(self) -> None:
        if self.down:
            raise ConnectionError("the layer is down")
        await self._thawed.wait()


class PreviousRelease:
    """The connection of a process that speaks as the release before: hosts with one worker, webs that know no more."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        await self._layer.send(channel, as_previous(message))

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        await self._layer.group_send(group, as_previous(message))

    async def receive(self, channel: str) -> dict[str, Any]:
        return as_previous(await self._layer.receive(channel))


def as_previous(message: dict[str, Any]) -> dict[str, Any]:
    """What a process of the release before would have sent or understood."""
    match decode(message):
        case Hello() as hello:
            return encode(Hello(hello.reply_channel, hello.n))
        case Submit() as submit:
            return encode(Submit(submit.reply_channel, submit.jobs))
        case HostStatus() | Facts() | Want() as unknown:
            raise AssertionError(f"{type(unknown).__name__} to or from a process of the release before")
    return message


class Connection:
    """A host's connection to the layer; once its process is dead, nothing passes."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self.dead = False
        self._never: list[asyncio.Future[None]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._layer, name)

        async def alive(*args: Any) -> Any:
            if self.dead:
                self._never.append(never := asyncio.get_running_loop().create_future())
                await never
            return await call(*args)

        return alive


class SimulatedModel:
    """Answers a text with itself.

    ``bad`` is refused, ``poison`` ends its worker, ``hang`` holds its model, ``endless`` its tokenizer; ``assert``
    fails on the device, which is lost.
    """

    shares_calls = True
    pads = True
    concurrent_batches = 2
    warm_up_costs: Sequence[tuple[int, int, float]] = ((1, 1, 1000 * BATCH_S), (1, 32, 1000 * BATCH_S))

    def __init__(self, ran: Callable[[list[str]], None], version: str = "", pipeline: str = "default") -> None:
        self.description = msgspec.structs.replace(DESCRIPTION, version=version, model=pipeline)
        self._ran = ran
        self._says = "" if pipeline == "default" else f"{pipeline} says "
        self.closed = 0

    def prepare(self, jobs: Sequence[Job]) -> list["SimulatedTokens"]:
        assert not self.closed
        if any("endless" in job.input for job in jobs):
            raise Hangs
        return [SimulatedTokens(job.input) for job in jobs]

    def use_threads(self, threads: int) -> None:
        pass

    def close(self) -> None:
        self.closed += 1

    def run(self, batch: Sequence["SimulatedTokens"]) -> list[Outcome]:
        assert not self.closed
        texts = [prepared.text for prepared in batch]
        self._ran(texts)
        if any("hang" in text for text in texts):
            raise Hangs
        if any("assert" in text for text in texts):
            raise RuntimeError("CUDA error: device-side assert triggered\nCompile with `TORCH_USE_CUDA_DSA`.")
        return [Invalid("bad input") if "bad" in text else f'"{self._says}{text}"'.encode() for text in texts]


@dataclass(frozen=True)
class SimulatedTokens:
    text: str
    tokens: int = 1
    longest: int = 1
    sequences: int = 1


class Hangs(Exception):
    """The call does not return."""


class SimulatedExecutor(ThreadExecutor):
    """Takes virtual time for a call instead of a thread."""

    running: ClassVar[Counter[str]] = Counter()
    """Calls under way, of models and tokenizers, by the id of their host."""

    def __init__(self, name: str, watchdog: Watchdog | None = None) -> None:
        self.watchdog = watchdog
        self._name = name
        self._call_s = BATCH_S if name.startswith("model") else 0.001
        self._host = name.split("-")[1]

    async def run(self, call: Callable[[], Any], predicted_ms: float | None = None, *, watched: bool = True) -> Any:
        predicted_s = None if predicted_ms is None else predicted_ms / 1000
        with self.watchdog.watching(self._name, predicted_s) if self.watchdog and watched else nullcontext():
            self.running[self._host] += 1
            try:
                await asyncio.sleep(self._call_s)
                return call()
            except Hangs:
                await asyncio.Event().wait()
            except RuntimeError as error:
                failed = error
            finally:
                self.running[self._host] -= 1
            if self.watchdog is not None and is_device_lost(failed):
                await self.watchdog.lose(failed)
            raise failed

    def close(self, last: Callable[[], object] | None = None) -> None:
        if last is not None:
            last()

    def join(self) -> None:
        pass


class World:
    """Webs, hosts of workers and the layer between them; made inside a running virtual-time loop.

    Args:
        workers: hosts at the beginning, each with all pipelines.
        pipelines: their names.
    """

    def __init__(
        self,
        seed: int,
        *,
        webs: int = 1,
        workers: int = 2,
        layer: Any = None,
        pipelines: Sequence[str] = (),
        **conf: Any,
    ) -> None:
        self.rng = random.Random(seed)
        _ids.seed(seed)
        self.layer = layer or FaultyLayer(self.rng)
        tables = {name: {"task": DESCRIPTION.task, "model": name} for name in pipelines}
        self.conf = Conf(**({"max_batch_size": 4, "max_inputs": 16, "pipelines": tables or ""} | conf))
        self.catalog = catalog.of(self.conf)
        clock = asyncio.get_running_loop().time
        self.webs = [Dispatcher(self.layer, self.catalog.names, desired=Desired(clock)) for _ in range(webs)]
        self.workers: dict[WorkerHost, asyncio.Task[None]] = {}
        self._connections: dict[WorkerHost, Connection] = {}
        self._leaving: list[asyncio.Task[None]] = []
        self.version = ""
        """Version served by workers that start from now on."""
        self.versions: dict[str, str] = {}
        """Of every worker that a host started with, by its id."""
        self.parts: dict[str, PipelineWorker] = {}
        """The workers that were loaded later, by id."""
        self.models: dict[WorkerHost, list[SimulatedModel]] = defaultdict(list)
        """All that were ever loaded."""
        self.unloaded: dict[str, list[tuple[float, float]]] = defaultdict(list)
        """When operators wanted pipelines to be unloaded, by name."""
        self._generation = 0
        self.kills = self.hangs = 0
        self.batches: list[list[str]] = []
        self.ran: list[tuple[str, list[str]]] = []
        """The batches, each with its pipeline."""
        self.beside: list[int] = []
        """For each host that an input ended: the calls of its models that were under way as well."""
        for web in self.webs:
            web.start()
        for _ in range(workers):
            self.start_worker()

    def start_worker(self, *names: str, previous: bool = False) -> WorkerHost:
        """A host with these pipelines, by default with all; ``previous``: of the release before."""
        connection = Connection(PreviousRelease(self.layer) if previous else self.layer)
        pipelines = self.catalog.select(names) if names else self.catalog
        version = self.version

        def load(conf: Conf, report: Any, turn: Any = None) -> SimulatedModel:
            report("loading weights")
            name = names_by_model[conf.model]
            first = version if name not in loaded else self.version
            loaded.add(name)
            self.models[worker].append(SimulatedModel(partial(self._on_batch, worker, name), first, name))
            return self.models[worker][-1]

        def add(part: PipelineWorker) -> None:
            self.parts[part.id] = part
            type(worker._intake).add(worker._intake, part)

        loaded: set[str] = set()
        names_by_model = {spec.conf.model: spec.name for spec in pipelines}
        worker = WorkerHost(cast("ChannelLayer", connection), self.conf, pipelines, load)
        self._connections[worker] = connection
        worker._intake.add = add  # type: ignore[assignment,method-assign]
        self.versions |= dict.fromkeys((worker.id, *(part.id for part in worker.workers)), version)
        self.workers[worker] = asyncio.get_running_loop().create_task(self._supervise(worker))
        return worker

    async def _supervise(self, worker: WorkerHost) -> None:
        try:
            await worker.arun()
            if worker.is_replaced and worker in self.workers:
                del self.workers[worker]
                asyncio.get_running_loop().call_later(1.0, self.start_worker)
        except ModelHangs:
            self.hangs += 1
            if self.workers.pop(worker, None):
                asyncio.get_running_loop().call_later(2.0, self.start_worker)

    def kill(self, worker: WorkerHost) -> None:
        """End it as SIGKILL does: it sends nothing more."""
        task = self.workers.pop(worker, None)
        if task is not None:
            self.kills += 1
            self._connections[worker].dead = True
            task.cancel()

    def order(self, pipeline: str, kind: str, *, unload_first: bool = False, read_s: float = 0.0) -> None:
        """As an operator does; each web process reads it at some time within ``read_s``."""
        loop = asyncio.get_running_loop()
        self._generation += 1
        wish = Wish(cast("Any", kind), self._generation, loop.time(), "then", unload_first)
        unloaded = self.unloaded[pipeline]
        if unloaded and unloaded[-1][1] == math.inf:
            unloaded[-1] = unloaded[-1][0], loop.time() + read_s
        if kind == "unload":
            unloaded.append((loop.time(), math.inf))

        def read(desired: Desired) -> None:
            known = desired.pipelines.get(pipeline)
            if known is None or known.generation < wish.generation:
                desired.pipelines = {**desired.pipelines, pipeline: wish}

        for web in self.webs:
            loop.call_later(self.rng.uniform(0, read_s) if read_s else 0.0, read, web.desired)

    def order_drain(self, worker: WorkerHost) -> None:
        for web in self.webs:
            web.desired.drained |= {worker.id}

    def may_be_unloaded(self, pipeline: str, since: float) -> bool:
        """Whether an operator wanted that at any time since then."""
        return any(until >= since for _, until in self.unloaded[pipeline])

    def _order_one(self, kinds: Sequence[str]) -> None:
        kind, pipeline = self.rng.choice(kinds), self.rng.choice(self.catalog.names)
        match kind:
            case "drain":
                if self.workers:
                    self.order_drain(self.rng.choice(list(self.workers)))
            case "replace":
                self.order(pipeline, "reload", unload_first=True, read_s=2)
            case _:
                self.version += "x" if kind == "reload" and self.rng.random() < 0.3 else ""
                self.order(pipeline, kind, read_s=2)

    async def trouble(self, rounds: int, *, changes: bool = True, orders: Sequence[str] = ()) -> None:
        """Random faults for some rounds, then none.

        Args:
            changes: the model that is served may change as well.
            orders: what operators order meanwhile, one of them in each round.
        """
        faults = [self._kill_one, self._kill_one, self._empty, self._freeze, self._cut, self._drain_one]
        faults += [self._change] if changes else []
        for _ in range(rounds):
            await asyncio.sleep(self.rng.uniform(0.05, 2))
            self.layer.loss, self.layer.refusal = self.rng.choice([0.0, 0.02, 0.3]), self.rng.choice([0.0, 0.1])
            self.layer.delay_s = self.rng.choice([0.001, 0.02, 0.2])
            if orders:
                self._order_one(orders)
            await self.rng.choice(faults)()
        await self.settle(0)

    async def _kill_one(self) -> None:
        if self.workers:
            self.kill(self.rng.choice(list(self.workers)))
            asyncio.get_running_loop().call_later(self.rng.uniform(0.1, 4), self.start_worker)

    async def _empty(self) -> None:
        self.layer.empty()

    async def _freeze(self) -> None:
        self.layer.freeze()
        await asyncio.sleep(self.rng.uniform(0.1, 5))
        self.layer.thaw()

    async def _cut(self) -> None:
        self.layer.down = True
        await asyncio.sleep(self.rng.uniform(0.1, 5))
        self.layer.down = False

    async def _change(self) -> None:
        """Begin a rolling change of the model: workers that start from now on serve another version."""
        self.version += "x"
        await self._drain_one()

    async def _drain_one(self) -> None:
        if self.workers:
            leaving = self.rng.choice(list(self.workers))
            self._leaving.append(asyncio.create_task(leaving.drain(timeout_s=5)))
            self._leaving.append(self.workers.pop(leaving))
            self.start_worker()

    async def ask(
        self, text: Any, deadline_s: float = 30.0, web: int = 0, pipeline: str = "default", **parameters: Any
    ) -> str:
        """The answer that a client of this web side gets."""
        now = asyncio.get_running_loop().time()
        deadline_at = now + deadline_s
        while True:
            version = (await self.webs[web].description(deadline_at, pipeline)).version
            with suppress(Superseded):  # validated anew, as the service does
                work = Work(
                    request_id=str(text),
                    inputs=[text],
                    parameters=parameters,
                    admitted_at=now,
                    deadline_at=deadline_at,
                    pipeline=pipeline,
                    version=version,
                )
                [answer] = await self.webs[web].run(work)
                assert isinstance(answer, Answer)
                assert self._version_of(answer.worker) == version, "the answer of a model that was not asked"
                return answer.result.output.decode().strip('"')

    async def settle(self, seconds: float = 20.0) -> None:
        """End all faults and wait for recovery."""
        self.layer.loss = self.layer.refusal = 0.0
        self.layer.down = False
        self.layer.thaw()
        await asyncio.sleep(seconds)

    def leftovers(self) -> list[str]:
        """Jobs and records that are left although every client has its answer."""
        found = [
            f"web {n} has {pipeline.pending} jobs of {pipeline.name}"
            for n, web in enumerate(self.webs)
            for pipeline in web.pipelines.values()
            if pipeline.pending or pipeline.waiting
        ]
        found += [f"web {n} has {web.pending} jobs" for n, web in enumerate(self.webs) if web.pending]
        found += [
            f"web {n} has records of {len(view.records)} jobs at host {view.id}"
            for n, web in enumerate(self.webs)
            for view in web.registry
            if view.records or any(worker.in_flight for worker in view.workers.values())
        ]
        found += [f"worker {worker.id} holds {worker.held} jobs" for worker in self.workers if worker.held]
        return found

    def _version_of(self, worker_id: str) -> str:
        part = self.parts.get(worker_id)
        if part is None or part.description is None:
            return self.versions[worker_id]
        return part.description.version

    def _on_batch(self, worker: WorkerHost, pipeline: str, texts: list[str]) -> None:
        self.batches.append(texts)
        self.ran.append((pipeline, texts))
        if any("poison" in text for text in texts):
            self.beside.append(SimulatedExecutor.running[worker.id] - 1)
            self.kill(worker)
            asyncio.get_running_loop().call_later(2.0, self.start_worker)
            raise asyncio.CancelledError  # the process is gone
