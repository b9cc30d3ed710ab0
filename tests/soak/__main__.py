"""``make soak``: real processes, steady load, and everything that can go wrong; ends with the ledger and an exit code.

make soak                                    everything, about 15 minutes
make soak SOAK="--only kills,redis"          some phases
make soak SOAK="--seconds 30 --seed 7"       less of each
make soak SOAK="--keys 20"                   the clients have keys; usage is compared by key
"""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Sequence

from tests.conftest import Reference
from tests.soak import catalog, cluster, ledger, roll_ups
from tests.soak.catalog import CATALOG, PIPELINES
from tests.soak.clients import LONG_DEADLINE_S, PARAMETERS, Clients
from tests.soak.ledger import Ledger, Outcome
from tests.soak.phases import PHASES, Soak

WHOLE_S = 300
RATE_PER_S, PART = 40.0, 0.3
"""Of the steady load: the most, and the part of what the workers can answer. One of them must do while the other one
loads its pipelines beside it on the same cores."""
MEASURED_S, CONNECTIONS = 3.0, 32
DEADLINE_S, STARTS = 30.0, 3
"""Of requests: the least, and how often a worker can start within it. One that hangs has to, while another waits."""
ENVIRONMENT = {"INFERENCE_THREADS": "1", "INFERENCE_LOG_INPUTS": "preview"}
SAMPLE = 500
"""Right answers that are compared with those of the stock pipeline."""


def main(arguments: Sequence[str]) -> int:
    """The exit code: 1 if a promise was broken."""
    options = _options(arguments)
    began = time.monotonic()
    found = Ledger()
    processes = f"two web and two worker processes with {len(PIPELINES)} pipelines and one that cannot be loaded"
    print(f"seed {options.seed}; {processes}", flush=True)
    with cluster.running(ENVIRONMENT | catalog.written(), number_of_keys=options.keys) as running:
        broken = asyncio.run(_soak(running, found, options, began))
    rows = running.webs[0].rows()  # of both: every process has stopped cleanly, so the log is complete
    broken += [f"ledger and log differ: {sentence}" for sentence in found.reconcile(rows)]
    usage = running.webs[0].usage()
    broken += [f"ledger and usage differ: {sentence}" for sentence in found.reconcile_usage(usage, rows)]
    kept = running.webs[0].roll_ups()
    broken += [f"log and roll-ups differ: {sentence}" for sentence in roll_ups.reconcile(kept, rows)]
    print(f"{len(kept)} rows of roll-ups compared with the log")
    broken += _against_the_pipeline(found, random.Random(options.seed))
    _print_table(found)
    if not_answered := [e for e in found.entries if e.outcome in (Outcome.LOST, Outcome.HUNG)]:
        broken.append(f"{len(not_answered)} accepted requests had no answer")
    requests, seconds = len(found.entries), time.monotonic() - began
    print(f"{requests} requests, {len(rows)} rows of the log, {running.restarts} restarts of workers, {seconds:.0f} s")
    for sentence in broken:
        print(f"BROKEN: {sentence}")
    return 1 if broken else 0


def _print_table(found: Ledger) -> None:
    print("\n" + ledger.head())
    for phase in dict.fromkeys(entry.phase for entry in found.entries):
        print(ledger.line(phase, found.of(phase)))
    for pipeline in CATALOG:
        print(ledger.line(f"of {pipeline}", [e for e in found.entries if e.pipeline == pipeline]))
    print(ledger.line("all", found.entries) + "\n")


async def _soak(running: cluster.Cluster, found: Ledger, options: argparse.Namespace, began: float) -> list[str]:
    chance = random.Random(options.seed)
    await running.all_ready()
    started_s = time.monotonic() - began
    deadline_s = min(LONG_DEADLINE_S, max(DEADLINE_S, STARTS * started_s))
    print(f"all pipelines are loaded after {started_s:.0f} s; requests have {deadline_s:.0f} s\n{ledger.head()}")
    clients = Clients(running.webs, found, chance, deadline_s, running.keys)
    soak = Soak(running, clients, found, chance, options.rate or RATE_PER_S, options.seconds / WHOLE_S)
    for phase in options.only:
        if not options.rate:
            await running.all_ready()
            capacity = await clients.measure_capacity(CONNECTIONS, MEASURED_S)
            soak.rate_per_s = min(RATE_PER_S, PART * capacity)
        print(f"{phase}: {soak.rate_per_s:.1f} requests/s", flush=True)
        await PHASES[phase](soak)
    await running.all_ready()
    await clients.close()
    return soak.broken


def _against_the_pipeline(found: Ledger, chance: random.Random) -> list[str]:
    right = [entry for entry in found.entries if entry.outcome is Outcome.RIGHT]
    reference = Reference()
    sample = chance.sample(right, min(SAMPLE, len(right)))
    reference.learn([text for entry in sample for text in entry.inputs], **PARAMETERS)
    wrong = 0
    for entry in sample:
        for text, output in zip(entry.inputs, entry.outputs, strict=True):
            try:
                reference.check(output, text, **PARAMETERS)
            except AssertionError:
                wrong += 1
    print(f"{len(sample)} answers compared with the stock pipeline: {wrong} differ")
    return [f"{wrong} answers are not the pipeline's"] if wrong else []


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=WHOLE_S, help="roughly how long (%(default)s)")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(PHASES), help=", ".join(PHASES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keys", type=int, default=0, help="the clients have so many keys, at least 2 (none)")
    most = f"{RATE_PER_S:g}, or {PART:.0%} of what the workers can answer"
    parser.add_argument("--rate", type=float, help=f"requests per second ({most})".replace("%", "%%"))
    options = parser.parse_args(arguments)
    if unknown := set(options.only) - set(PHASES):
        parser.error(f"there is no phase {', '.join(sorted(unknown))}; there are {', '.join(PHASES)}")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
