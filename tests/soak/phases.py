"""What is done to the server, phase by phase, and what it promises all the same."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median

from tests.processes import STOP_S, Worker
from tests.soak.catalog import PIPELINES, TORN_PIPELINE
from tests.soak.clients import Clients
from tests.soak.cluster import Cluster
from tests.soak.faulty_worker import BAD, HANG, POISON, SLOW, TANGLED
from tests.soak.ledger import RETRYABLE, Entry, Ledger, Outcome, counts, line

BROKEN = (Outcome.LOST, Outcome.HUNG, Outcome.SWAPPED, "duplicated")
DOWN_S, FROZEN_S = 2.0, 4.0
FULL_S = 2.0
REST_BETWEEN_S = 3.0
LEAVE_S = 0.03
"""Clients that leave do so while their request waits or runs."""
BATCH = 16
CROWD, CROWD_DEADLINE_S, CROWD_PAUSE_S = 120, 2.0, 0.4
"""Connections of a crowd: more than what two workers on two cores answer within the deadline."""
AT_ONCE_S = 2.0
"""A fifteenth of the deadline, on a busy machine."""
TURNS_S = 0.5
"""Ten turns: what a request to one pipeline may wait for those to others on a busy machine, if that is a short one."""


@dataclass
class Soak:
    """What phases work with. ``scale`` is 1 for the whole run."""

    cluster: Cluster
    clients: Clients
    ledger: Ledger
    chance: random.Random
    rate_per_s: float
    scale: float
    broken: list[str] = field(default_factory=list)

    def times(self, whole: int) -> int:
        """How often something is done, at least once."""
        return max(1, round(whole * self.scale))

    def promise(self, sentence: str, *, kept: bool) -> None:
        print(f"    {'kept  ' if kept else 'BROKEN'} {sentence}", flush=True)
        if not kept:
            self.broken.append(sentence)

    @asynccontextmanager
    async def load(
        self, phase: str, *, rate: float = 1.0, stay_s: float | None = None, pipelines: Sequence[str] = PIPELINES
    ) -> AsyncIterator[None]:
        """Steady load; at the end every request is answered, and the server comes to rest."""
        rate_per_s = self.rate_per_s * rate
        loading = asyncio.create_task(self.clients.load(phase, rate_per_s, stay_s=stay_s, pipelines=pipelines))
        try:
            yield
        finally:
            loading.cancel()
        await asyncio.wait([loading])
        await self.clients.all_answered()
        entries = self.ledger.of(phase)
        print(line(phase, entries), flush=True)
        found = counts(entries)
        bad = {str(kind): found[kind] for kind in BROKEN if found[kind]}
        self.promise(f"no answer is lost, late, doubled or someone else's {bad or ''}", kept=not bad)
        not_at_rest = await self.cluster.not_at_rest()
        self.promise(f"permits, credit and queue are back at zero {not_at_rest or ''}", kept=not not_at_rest)

    def promise_only_right(self, entries: Iterable[Entry]) -> None:
        others = [e for e in entries if e.outcome not in (Outcome.RIGHT, Outcome.CUT, Outcome.NOT_TAKEN)]
        self.promise(f"others are answered as if nothing had happened {_codes(others)}", kept=not others)

    def promise_only_retryable(self, phase: str, share: float) -> None:
        entries = self.ledger.of(phase)
        failed = [e for e in entries if e.outcome in (Outcome.REFUSED, Outcome.FAILED)]
        final = [e for e in failed if e.code not in RETRYABLE]
        self.promise(f"errors can be retried {_codes(final)}", kept=not final)
        part = len(failed) / max(1, len(entries))
        self.promise(f"they are below {share:.1%}: {part:.2%} {_codes(failed)}", kept=part < share)


def _codes(entries: Iterable[Entry]) -> str:
    found = Counter((e.code or e.outcome, e.pipeline) for e in entries)
    return ", ".join(f"{number} {code} of {pipeline}" for (code, pipeline), number in found.items())


async def steady(soak: Soak) -> None:
    """Nothing happens."""
    async with soak.load("steady"):
        await asyncio.sleep(10 * soak.scale)
    soak.promise_only_right(soak.ledger.of("steady"))


async def kills(soak: Soak) -> None:
    """Workers end by SIGKILL, one after the other."""
    phase = "kills"
    async with soak.load(phase):
        for _ in range(soak.times(20)):
            await soak.cluster.all_ready()
            await asyncio.sleep(soak.chance.uniform(0.2, 1))
            await asyncio.to_thread(_ended, soak.chance.choice(soak.cluster.workers), signal.SIGKILL)
        await soak.cluster.all_ready()
    soak.promise_only_retryable(phase, 0.005)
    lost = [e for e in soak.ledger.of(phase) if e.code == "worker_lost"]
    soak.promise(f"no input is taken for one that ends workers {_codes(lost)}", kept=not lost)


async def outage(soak: Soak) -> None:
    """All workers end by SIGKILL at once. What the permits have room for waits; the rest is told when to come back."""
    phase = "outage"
    async with soak.load(phase):
        for _ in range(soak.times(2)):
            await soak.cluster.all_ready()
            await asyncio.sleep(1)
            for worker in soak.cluster.workers:
                await asyncio.to_thread(_ended, worker, signal.SIGKILL)
        await soak.cluster.all_ready()
    soak.promise_only_retryable(phase, 1.0)


async def redis(soak: Soak) -> None:
    """Redis is killed, frozen, emptied, full, and cuts its connections."""
    phase, server, lost_before = "redis", soak.cluster.redis, soak.cluster.said("is lost;")
    async with soak.load(phase):
        for _ in range(soak.times(5)):
            server.kill()
            await asyncio.sleep(DOWN_S)
            server.start()
            await asyncio.to_thread(server.wait_until_ready)
            await asyncio.sleep(REST_BETWEEN_S)
        server.pause()
        await asyncio.sleep(FROZEN_S)
        server.resume()
        await asyncio.sleep(REST_BETWEEN_S)
        for _ in range(soak.times(3)):
            server.ask("FLUSHALL")
            await asyncio.sleep(1)
            server.ask("CLIENT KILL TYPE normal")
            await asyncio.sleep(1)
        server.ask("CONFIG SET maxmemory 1")
        await asyncio.sleep(FULL_S)
        server.ask("CONFIG SET maxmemory 0")
        await asyncio.sleep(REST_BETWEEN_S)
    soak.promise_only_right(soak.ledger.of(phase))
    lost = soak.cluster.said("is lost;") - lost_before
    soak.promise(f"no worker is taken for dead ({lost} were)", kept=not lost)


async def poison(soak: Soak) -> None:
    """An input ends every worker that runs it."""
    await _costs_its_workers(soak, "poison", POISON)


async def hang(soak: Soak) -> None:
    """An input holds the model for ever."""
    await _costs_its_workers(soak, "hang", HANG)


async def tokenizer(soak: Soak) -> None:
    """Inputs that take long to tokenise, and one that holds the tokenizer for ever."""
    phase, before = "tokenizer", soak.cluster.restarts
    async with soak.load(phase):
        slow = [
            await soak.clients.send(phase, SLOW, pipeline=soak.clients.any_pipeline()) for _ in range(soak.times(3))
        ]
    kept = all(entry.outcome is Outcome.RIGHT for entry in slow) and soak.cluster.restarts == before
    soak.promise("those that take long are answered, and end no worker", kept=kept)
    await _costs_its_workers(soak, "tangled", TANGLED)


async def crowd(soak: Soak) -> None:
    """Many connections that ask again after each answer and refusal; among them a client that always reconnects."""
    phase = "crowd"
    crowding = asyncio.create_task(soak.clients.crowd(phase, CROWD, 20 * soak.scale, CROWD_DEADLINE_S, CROWD_PAUSE_S))
    await asyncio.sleep(2 * soak.scale)
    own = await soak.clients.reconnecting("reconnects", soak.times(10), CROWD_DEADLINE_S)
    async with soak.load(phase, rate=0.01):
        await crowding
    print(line("reconnects", soak.ledger.of("reconnects")), flush=True)
    entries = soak.ledger.of(phase)
    others = {e.code for e in entries if e.outcome is Outcome.REFUSED} - {"overloaded"}
    soak.promise(f"refusals say that there is too much to do {others or ''}", kept=not others)
    failed = [e for e in entries if e.outcome is Outcome.FAILED]
    let_in = [e for e in entries if e.outcome is not Outcome.REFUSED]
    soak.promise(f"what is let in is in time {_codes(failed)}", kept=len(failed) <= 0.01 * len(let_in))
    most = max(refused for _, refused in own)
    kept = most <= 1 and all(entry.outcome is Outcome.RIGHT for entry, _ in own)
    soak.promise(f"the client that reconnects is refused once at most ({most}), and answered", kept=kept)


async def flood(soak: Soak) -> None:
    """A crowd asks one pipeline for far more than its workers can answer; the others have their steady load."""
    phase, (flooded, *others) = "flood", PIPELINES
    crowding = soak.clients.crowd(phase, CROWD, 20 * soak.scale, CROWD_DEADLINE_S, CROWD_PAUSE_S, pipelines=[flooded])
    async with soak.load(phase, rate=len(others) / len(PIPELINES), pipelines=others):
        await crowding
    crowd, spared = ([e for e in soak.ledger.of(phase) if (e.pipeline == flooded) is of_it] for of_it in (True, False))
    print(line("  of the others", spared), flush=True)
    soak.promise_only_right(spared)
    refused = {e.code for e in crowd if e.outcome is Outcome.REFUSED}
    soak.promise(f"the crowd is told that there is too much to do {refused}", kept=refused == {"overloaded"})
    theirs, crowds = (median(e.seconds for e in part if e.outcome is Outcome.RIGHT) for part in (spared, crowd))
    shorter = f"the others do not wait in its queue: {theirs:.2f} s, and the crowd {crowds:.2f} s (medians)"
    soak.promise(shorter, kept=theirs < max(TURNS_S, crowds / 2))


async def failing(soak: Soak) -> None:
    """Clients ask for a pipeline that no worker could load."""
    phase, wrong = "failing", []
    expected = 200, dict.fromkeys(PIPELINES, "ready") | {TORN_PIPELINE: "failed"}
    async with soak.load(phase):
        for _ in range(soak.times(20)):
            await asyncio.gather(*(soak.clients.send(phase, pipeline=TORN_PIPELINE) for _ in range(5)))
            await soak.cluster.all_ready()  # it is loaded again now and then, which takes a moment
            wrong += [found for found in await soak.cluster.health() if found != expected]
            await asyncio.sleep(0.5)
    soak.promise(f"web processes are ready, and show what is not {wrong or ''}", kept=not wrong)
    soak.promise_only_right(soak.ledger.of(phase, special=False))
    asked = soak.ledger.of(phase, special=True)
    late = [e for e in asked if e.code != "not_loaded" or e.seconds > AT_ONCE_S]
    slowest = max(e.seconds for e in asked)
    sentence = f"who asks for it is told at once ({slowest:.2f} s at most) that it could not be loaded {_codes(late)}"
    soak.promise(sentence, kept=not late)


async def _costs_its_workers(soak: Soak, phase: str, word: str) -> None:
    before = soak.cluster.restarts
    async with soak.load(phase):
        await asyncio.sleep(1)
        entry = await soak.clients.send(phase, word, pipeline=soak.clients.any_pipeline())
        await soak.cluster.all_ready()
    soak.promise_only_right(soak.ledger.of(phase, special=False))
    itself = f"the input itself, of {entry.pipeline}, ends in worker_lost ({entry.code})"
    soak.promise(itself, kept=entry.code == "worker_lost")
    cost = soak.cluster.restarts - before
    soak.promise(f"it costs at most three workers ({cost})", kept=cost <= 3)


async def bad(soak: Soak) -> None:
    """One input in each of many batches fails the batch that it is in."""
    phase, batches = "bad", soak.times(100)
    async with soak.load(phase, rate=0.2):
        for _ in range(batches):
            pipeline = soak.clients.any_pipeline()
            sent = [soak.clients.send(phase, pipeline=pipeline, single=True) for _ in range(BATCH - 1)]
            await asyncio.gather(*sent, soak.clients.send(phase, BAD, pipeline=pipeline))
    soak.promise_only_right(soak.ledger.of(phase, special=False))
    codes = {entry.code for entry in soak.ledger.of(phase, special=True)}
    soak.promise(f"the bad inputs get their own error {codes}", kept=codes == {"inference"})


async def cuts(soak: Soak) -> None:
    """Clients cancel, hang up, and drop sockets with requests on them."""
    phase = "cuts"
    async with soak.load(phase, stay_s=LEAVE_S):
        for _ in range(soak.times(10)):
            await asyncio.sleep(0.5)
            await soak.clients.cut_a_socket()
    soak.promise_only_right(soak.ledger.of(phase))


async def rolling(soak: Soak) -> None:
    """Every web and worker process is stopped and started again, one after the other."""
    phase, cluster = "rolling", soak.cluster
    async with soak.load(phase):
        for web in cluster.webs[: soak.times(2)]:
            code = await asyncio.to_thread(web.terminate)
            soak.promise(f"a web process stops cleanly ({code})", kept=code == 0)
            web.start()
            await asyncio.to_thread(web.wait_until_answers, "/health/ready")
        for worker in cluster.workers[: soak.times(2)]:
            code = await asyncio.to_thread(_ended, worker, signal.SIGTERM)
            soak.promise(f"a worker stops cleanly ({code})", kept=code == 0)
            await cluster.all_ready()
    failed = [e for e in soak.ledger.of(phase) if e.outcome is Outcome.FAILED]
    soak.promise(f"no accepted request fails {_codes(failed)}", kept=not failed)
    refused = {e.code for e in soak.ledger.of(phase) if e.outcome is Outcome.REFUSED}
    soak.promise(f"refusals say that a server stops {refused or ''}", kept=refused <= {"draining"})


def _ended(worker: Worker, how: signal.Signals) -> int:
    """Its exit code; its supervisor starts it again."""
    running = worker.popen
    running.send_signal(how)
    return running.wait(STOP_S)


PHASES: dict[str, Callable[[Soak], Awaitable[None]]] = {
    "steady": steady,
    "failing": failing,
    "kills": kills,
    "outage": outage,
    "redis": redis,
    "poison": poison,
    "hang": hang,
    "tokenizer": tokenizer,
    "bad": bad,
    "cuts": cuts,
    "crowd": crowd,
    "flood": flood,
    "rolling": rolling,
}
