"""What web processes and hosts cost the Redis between them: commands, bytes and CPU, idle and under load.

    python -m tests.benchmarks.scaling --webs 10 --hosts 20 --pipelines 8              idle, under two minutes
    python -m tests.benchmarks.scaling --webs 10 --hosts 20 --pipelines 8 --load       and a closed loop

Dispatchers and hosts are those of real processes, each with a channel layer of its own; a few child processes hold many
of them. Pipelines are fake: a batch takes its time, and a text is answered with itself. What idle processes send does
not depend on the speed of the machine; CPU does, and so does everything under load: children and Redis share its cores.

Redis counts commands that run inside Lua scripts as well, and so do the figures here.
"""

import argparse
import asyncio
import itertools
import math
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any, cast

import msgspec
from django.utils.module_loading import import_string
from redis import Redis as RedisClient

from inference import catalog
from inference.backends.base import Outcome, Turn, at_once
from inference.catalog import Catalog
from inference.conf import Conf
from inference.messaging.layer import ChannelLayer
from inference.messaging.messages import Description, Job
from inference.messaging.redis_layer_settings import redis
from inference.scheduling.calls import Work
from inference.scheduling.dispatcher import Dispatcher
from inference.scheduling.heartbeat import HEARTBEAT_PERIOD_S, MAX_STATUSES_PER_S
from inference.worker.host import MEMBERSHIP_PERIOD_S, WorkerHost
from tests.benchmarks.report import say
from tests.processes import redis_server

EXPIRY_S = 130
CHILDREN = 2
"""Processes for the web sides, and as many for the hosts."""
WARMUP_S = 40.0
WARMUP_PERIODS = 2.2
LOAD_WARMUP_S = 5.0
READY_S = 600.0
START_EVERY_S = 1.0
POLL_S = 0.5
REPEATS = 200
"""Of an operation of the layer whose commands are counted."""
MEMBERS = 20
TEXT = "The quick brown fox jumps over the lazy dog, and then it rests in the shade of a [MASK] until the evening. "
DEADLINE_S = 60.0


class Failed(Exception):
    """In a child process."""


@dataclass(frozen=True)
class Setup:
    url: str
    webs: int
    hosts: int
    pipelines: int
    batch_s: float
    """How long a batch takes, whatever is in it."""

    @property
    def period_s(self) -> float:
        """The hello period that follows."""
        return max(HEARTBEAT_PERIOD_S, self.webs * self.hosts / MAX_STATUSES_PER_S)


DESCRIPTION = Description(
    task="fill-mask",
    model="fake",
    revision="",
    device="fake",  # so that elapsed time counts
    dtype="float32",
    threads=1,
    vocabulary=30_000,
    mask_token="[MASK]",
    longest_input=512,
    longest_input_chars=32_768,
    version="0123456789ab",
)


@dataclass(frozen=True)
class Echo:
    text: str
    tokens: int = 1
    longest: int = 1
    sequences: int = 1


class EchoPipeline:
    """Has what makes a status as long as that of a real one: a version and a cost model."""

    description = DESCRIPTION
    concurrent_batches = 1
    pads = False
    shares_calls = True

    def __init__(self, batch_s: float) -> None:
        self.warm_up_costs: Sequence[tuple[int, int, float]] = ((1, 1, 1000 * batch_s), (32, 32, 1000 * batch_s))
        self._batch_s = batch_s

    def prepare(self, jobs: Sequence[Job]) -> list[Echo]:
        return [Echo(job.input) for job in jobs]

    def run(self, batch: Sequence[Echo]) -> list[Outcome]:
        time.sleep(self._batch_s)
        return [msgspec.json.encode(prepared.text) for prepared in batch]

    def use_threads(self, threads: int) -> None: ...

    def close(self) -> None: ...


def own_layer(url: str) -> ChannelLayer:
    """One that shares no connection, as that of a process."""
    settings = redis(url, "inference", EXPIRY_S)
    return cast("ChannelLayer", import_string(settings["BACKEND"])(**settings["CONFIG"]))


# In a child process


class Part:
    """Some of the web sides and hosts, on the event loop of a child process."""

    def __init__(self, setup: Setup) -> None:
        def load(conf: Conf, report: Callable[[str], None], turn: Turn = at_once) -> EchoPipeline:
            return EchoPipeline(setup.batch_s)

        tables = {f"pipeline-{number}": {"task": "fill-mask", "model": "fake"} for number in range(setup.pipelines)}
        self._conf = Conf(pipelines=tables)
        self._catalog: Catalog = catalog.of(self._conf)
        self._webs = [Dispatcher(own_layer(setup.url), self._catalog.names) for _ in range(setup.webs)]
        self._hosts = [WorkerHost(own_layer(setup.url), self._conf, self._catalog, load) for _ in range(setup.hosts)]
        self._tasks: list[asyncio.Task[Any]] = []
        self._answered = 0

    async def serve(self, orders: Connection) -> None:
        """Do as told until the order is ``None``."""
        for host in self._hosts:
            self._spawn(host.arun())
        while (order := await asyncio.to_thread(orders.recv)) is not None:
            name, *arguments = order
            try:
                self._check()
                orders.send(getattr(self, name)(*arguments))
            except Exception as error:
                orders.send(Failed(f"{name}: {error!r}"))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for web in self._webs:
            await web.stop()

    def loaded(self) -> bool:
        return all(worker.state == "ready" for host in self._hosts for worker in host.workers)

    def known_workers(self) -> list[int]:
        """How many are ready, with their facts, for each web side."""
        return [sum(worker.ready for host in web.registry for worker in host.workers.values()) for web in self._webs]

    def start_webs(self) -> None:
        """One after the other: all at once, on few cores, they would wait for each other."""
        self._spawn(self._start_webs())

    async def _start_webs(self) -> None:
        for web in self._webs:
            web.start()
            await asyncio.sleep(START_EVERY_S)

    def begin_load(self, jobs: int) -> None:
        """Each web side has so many jobs under way from now on, of all pipelines in turn."""
        for web in self._webs:
            for name in itertools.islice(itertools.cycle(self._catalog.names), jobs):
                self._spawn(self._ask_forever(web, name))

    def answered(self) -> int:
        return self._answered

    async def _ask_forever(self, web: Dispatcher, pipeline: str) -> None:
        clock = asyncio.get_running_loop().time
        for number in itertools.count():
            work = Work(
                request_id=f"{pipeline}-{number}",
                inputs=[TEXT],
                parameters={},
                admitted_at=clock(),
                deadline_at=clock() + DEADLINE_S,
                pipeline=pipeline,
                version=DESCRIPTION.version,
            )
            await web.run(work)
            self._answered += 1

    def _spawn(self, work: Any) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    def _check(self) -> None:
        """Raises what ended a host or a client."""
        for task in self._tasks:
            if task.done():
                task.result()


def hold(setup: Setup, orders: Connection) -> None:
    """The child process."""

    async def run() -> None:
        await Part(setup).serve(orders)

    asyncio.run(run())


# In the parent process


class Children:
    """All parts of a setup."""

    def __init__(self, setup: Setup) -> None:
        webs, hosts = _shares(setup.webs), _shares(setup.hosts)
        parts = [replace(setup, webs=n, hosts=0) for n in webs] + [replace(setup, webs=0, hosts=n) for n in hosts]
        self._ends: list[Connection] = []
        self._processes = []
        spawn = multiprocessing.get_context("spawn")
        for part in parts:
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=hold, args=(part, theirs), daemon=True)
            process.start()
            theirs.close()
            self._ends.append(ours)
            self._processes.append(process)

    def ask(self, name: str, *arguments: Any) -> list[Any]:
        for end in self._ends:
            end.send((name, *arguments))
        replies = [end.recv() for end in self._ends]
        for failed in replies:
            if isinstance(failed, Failed):
                raise failed
        return replies

    def start_webs(self, workers: int) -> None:
        """After the hosts have loaded; waits until every web side knows so many workers."""
        self._wait_until("loaded", all)
        self.ask("start_webs")
        self._wait_until("known_workers", lambda known: {n for part in known for n in part} == {workers})

    def _wait_until(self, name: str, enough: Callable[[list[Any]], bool]) -> None:
        end = time.monotonic() + READY_S
        while not enough(replies := self.ask(name)):
            assert time.monotonic() < end, f"{name}: {replies}"
            time.sleep(POLL_S)

    def stop(self) -> None:
        for end in self._ends:
            with suppress(BrokenPipeError):
                end.send(None)
        for process in self._processes:
            process.join(10)
            process.kill()


@contextmanager
def running(setup: Setup) -> Iterator[Children]:
    children = Children(setup)
    try:
        yield children
    finally:
        children.stop()


def _shares(count: int) -> list[int]:
    return [share for n in range(CHILDREN) if (share := (count + n) // CHILDREN)]


@dataclass(frozen=True)
class Counts:
    """What Redis has counted in a window, per second."""

    seconds: float
    commands: float
    bytes_in: float
    bytes_out: float
    cpu_ms: float
    by_command: Counter[str]
    connections: int
    memory_mb: float

    @property
    def messages(self) -> float:
        """Received: after each, the layer takes one entry from its backup queue."""
        return self.by_command["zpopmin"]

    @property
    def hellos(self) -> float:
        """Of all web processes: each ``group_send`` has one transaction."""
        return self.by_command["multi"]


class Meter:
    def __init__(self, url: str) -> None:
        self._client = RedisClient.from_url(url)

    def commands(self) -> int:
        return int(self._client.info("stats")["total_commands_processed"])

    def during(self, seconds: float) -> Counts:
        before, began = self._info(), time.monotonic()
        time.sleep(seconds)
        after, took = self._info(), time.monotonic() - began

        def rate(name: str) -> float:
            return float(after[name] - before[name]) / took

        calls = Counter({name: rate(name) for name in after if name.startswith("cmdstat_")})
        return Counts(
            seconds=took,
            commands=rate("total_commands_processed"),
            bytes_in=rate("total_net_input_bytes"),
            bytes_out=rate("total_net_output_bytes"),
            cpu_ms=1000 * (rate("used_cpu_user") + rate("used_cpu_sys")),
            by_command=Counter({name.removeprefix("cmdstat_"): each for name, each in calls.items()}),
            connections=after["connected_clients"],
            memory_mb=after["used_memory"] / 2**20,
        )

    def _info(self) -> Counter[str]:
        """Figures by name; for each command, ``cmdstat_`` and its name, its calls."""
        info = self._client.info("all")
        figures = {name: value.get("calls") if isinstance(value, dict) else value for name, value in info.items()}
        return Counter({name: value for name, value in figures.items() if isinstance(value, int | float)})


@dataclass(frozen=True)
class Costs:
    """Commands of one operation of the layer, as measured on an idle Redis."""

    send: float
    receive: float
    """By a reader that waits."""
    group_send: float
    """Without what it takes for each member."""
    group_send_member: float
    group_add: float

    def expected(self, setup: Setup) -> float:
        """Commands per second of processes that are idle."""
        per_s = 1 / setup.period_s
        hellos = self.group_send + setup.hosts * (self.group_send_member + self.receive)
        echoes = self.send + self.receive
        statuses = setup.hosts * (self.send + self.receive)
        return setup.webs * per_s * (hellos + echoes + statuses) + setup.hosts / MEMBERSHIP_PERIOD_S * self.group_add


async def measure_costs(url: str, meter: Meter) -> Costs:
    layer, message = own_layer(url), {"type": "test", "body": b"x" * 100}

    async def counted(*actions: Callable[[int], Any]) -> float:
        """Commands of an action, each repeated; that of the meter itself is one."""
        for action in actions:
            await action(0)  # connects
        before = meter.commands()
        for number in range(REPEATS):
            await asyncio.gather(*(action(number) for action in actions))
        await asyncio.sleep(0.1)
        return (meter.commands() - before - 1) / REPEATS

    async def send_after(number: int) -> None:
        await asyncio.sleep(0.005)
        await layer.send("passed", message)

    async def fill_group(members: int) -> float:
        for member in range(members):
            await layer.group_add(f"group-{members}", f"member-{members}-{member}")
        return await counted(lambda _: layer.group_send(f"group-{members}", message))

    send = await counted(lambda _: layer.send("kept", message))
    await layer.send("passed", message)
    passed = await counted(lambda _: layer.receive("passed"), send_after)
    one, many = await fill_group(1), await fill_group(1 + MEMBERS)
    member = (many - one) / MEMBERS
    add = await counted(lambda _: layer.group_add("group", "member"))
    await cast("Any", layer).close_pools()
    return Costs(send, passed - send, one - member, member, add)


def show_idle(setup: Setup, costs: Costs, counts: Counts) -> None:
    period, pairs = setup.period_s, setup.webs * setup.hosts
    say(f"\nIdle, {counts.seconds:.0f} s:")
    say(f"{'per second':34}{'computed':>12}{'measured':>12}")
    say(f"{'hello period, s':34}{period:12.1f}{setup.webs / counts.hellos:12.1f}")
    parts = {
        "  hellos to hosts": pairs / period,
        "  hellos to themselves": setup.webs / period,
        "  statuses": pairs / period,
    }
    for name, messages in parts.items():
        say(f"{name:34}{messages:12.1f}")
    say(f"{'messages received':34}{sum(parts.values()):12.1f}{counts.messages:12.1f}")
    say(f"{'memberships renewed':34}{setup.hosts / MEMBERSHIP_PERIOD_S:12.1f}")
    say(f"{'commands':34}{costs.expected(setup):12.0f}{counts.commands:12.0f}")
    show_rest(counts)


def show_rest(counts: Counts) -> None:
    say(f"{'kB in':34}{'':12}{counts.bytes_in / 1000:12.1f}")
    say(f"{'kB out':34}{'':12}{counts.bytes_out / 1000:12.1f}")
    say(f"{'CPU of Redis, ms (shared cores)':34}{'':12}{counts.cpu_ms:12.1f}")
    say(f"connections {counts.connections}, memory of Redis {counts.memory_mb:.1f} MB")
    calls = ", ".join(f"{name} {each:.1f}" for name, each in counts.by_command.most_common() if each >= 0.1)
    say(f"by command: {calls}")


def show_load(jobs: int, jobs_per_s: float, counts: Counts, idle: Counts) -> None:
    say(f"\nClosed loop of {jobs} jobs per web, {counts.seconds:.0f} s, texts and answers of {len(TEXT)} bytes:")
    say(f"{'jobs per second (shared cores)':46}{jobs_per_s:12.0f}")
    say(f"{'messages received per second':46}{counts.messages:12.0f}")
    say(f"{'commands per second':46}{counts.commands:12.0f}")
    show_rest(counts)
    for name, loaded, base in (
        ("messages", counts.messages, idle.messages),
        ("commands", counts.commands, idle.commands),
        ("bytes in", counts.bytes_in, idle.bytes_in),
        ("bytes out", counts.bytes_out, idle.bytes_out),
        ("CPU of Redis, µs", 1000 * counts.cpu_ms, 1000 * idle.cpu_ms),
    ):
        say(f"{'per job, less idle: ' + name:46}{(loaded - base) / jobs_per_s:12.1f}")


def whole_periods(seconds: float, period_s: float) -> float:
    """At least so long: a window with a part of a period would count too many hellos or too few."""
    return math.ceil(seconds / period_s) * period_s


def measure(options: argparse.Namespace) -> None:
    with redis_server() as server:
        setup = Setup(server.url, options.webs, options.hosts, options.pipelines, options.batch_ms / 1000)
        meter = Meter(server.url)
        costs = asyncio.run(measure_costs(server.url, meter))
        server.ask("FLUSHALL")
        say(f"{setup.webs} webs x {setup.hosts} hosts x {setup.pipelines} pipelines")
        say(
            f"commands of the layer: send {costs.send:.1f}, receive {costs.receive:.1f}, "
            f"group_send {costs.group_send:.1f} and {costs.group_send_member:.1f} per member, "
            f"group_add {costs.group_add:.1f}"
        )
        with running(setup) as children:
            commands, began = meter.commands(), time.monotonic()
            children.start_webs(setup.hosts * setup.pipelines)
            commands, took = meter.commands() - commands, time.monotonic() - began
            say(f"until every web knew every worker: {commands} commands in {took:.0f} s (shared cores)")
            time.sleep(max(options.warmup, WARMUP_PERIODS * setup.period_s))
            idle = meter.during(whole_periods(options.seconds, setup.period_s))
            show_idle(setup, costs, idle)
            if options.load:
                children.ask("begin_load", options.jobs)
                time.sleep(LOAD_WARMUP_S)
                answered = sum(children.ask("answered"))
                counts = meter.during(options.seconds)
                jobs = (sum(children.ask("answered")) - answered) / counts.seconds
                show_load(options.jobs, jobs, counts, idle)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--webs", type=int, default=10)
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--pipelines", type=int, default=8, help="of each host")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of a window, rounded up to whole periods")
    parser.add_argument("--warmup", type=float, default=WARMUP_S, help="seconds")
    parser.add_argument("--load", action="store_true", help="measure a closed loop after that")
    parser.add_argument("--jobs", type=int, default=16, help="under way per web in the closed loop")
    parser.add_argument("--batch-ms", type=float, default=20.0, help="how long a batch takes, whatever is in it")
    return parser.parse_args()


if __name__ == "__main__":
    measure(_options())
