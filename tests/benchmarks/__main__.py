"""``make bench``: what the server gives, beside what users would run instead.

    make bench                                                             everything, about 25 minutes
    make bench BENCH="--only mixed --clients 32 --servers ours,limit"      a quick look, under a minute
    make bench BENCH="--only mixed --clients 32 --servers ours,ours:INFERENCE_THREADS=1 --rounds 3"

Rounds repeat everything in the same order, so that variants are compared side by side on a machine that drifts.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks import crowd, memory, models, overload, proc, report, servers, sharing
from tests.benchmarks.generation import comparison, engines, rows
from tests.benchmarks.measure import (
    LIMITS,
    OFFLINE,
    PIPELINE,
    WAIT_POLICIES,
    Failed,
    Key,
    Results,
    Timing,
    bare_pipeline,
    closed_loop,
    folder,
    limit,
    offline,
    open_loop,
)
from tests.benchmarks.padding import PaddingMeter
from tests.benchmarks.report import say

SECTIONS = ("mixed", "open", "short", "base", "memory", "overload", "crowd", "generation", "sharing")
CLIENTS = {"mixed": (1, 8, 32, 128), "short": (1, 32), "base": (32, 128)}
ORDER = (*LIMITS, *OFFLINE, *servers.OURS, PIPELINE, *servers.PEERS)
GROUPS = {"all": ORDER, "peers": tuple(servers.PEERS), "limits": tuple(LIMITS)}
BASE_PEERS_CLIENTS = (32,)
NOT_WITH_BASE = ("ours-redis", PIPELINE, "litserve-1", "litserve-8")
NOT_OPEN = ("guide-batching", "litserve-8", "litserve-32")
"""Left out to save time: what is slowest with many clients says the least under random arrivals."""
OF_CAPACITY = 0.8
OPEN_WINDOW_S = 3.0


class Bench:
    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._results = Results()
        self._timing = Timing(
            warmup_s=options.warmup, window_s=options.seconds, windows=options.windows, cap_s=options.cap
        )
        self._apart: dict[str, Any] = {}
        self._width = max(map(len, options.servers)) + 1
        self._failed: list[str] = []

    def run(self) -> int:
        """The exit code: 1 if something could not be measured."""
        started = time.monotonic()
        if self._options.favour:
            proc.favour(os.getpid())
        facts = report.machine()
        say(f"{facts['cpu']}, {facts['cores']} cores, {facts['date']}, {facts['revision']}; {facts['texts']}")
        report.heading(self._width)
        for _ in range(self._options.rounds):
            self._round()
        self._measure_apart()
        if self._options.rounds > 1 or self._options.servers_by_default:
            say()
            report.table(self._results.rows.values(), self._width)
        report.references(self._results)
        judged = report.judgement(self._results)
        say(f"{time.monotonic() - started:.0f} s in all")
        if self._options.json:
            report.write(Path(self._options.json), facts, self._results, judged, **self._apart)
        return 1 if self._failed else 0

    def _measure_apart(self) -> None:
        """Sections with measurements of their own."""
        if "memory" in self._options.only:
            self._apart["memory"] = memory.measured()
        if "overload" in self._options.only:
            self._apart["overload"] = []
            for server in overload.SERVERS:
                found = overload.measured(server, favour=self._options.favour)
                say("\n".join(found.lines()))
                self._apart["overload"].append(asdict(found))
        if "crowd" in self._options.only:
            self._apart["crowd"] = []
            for server in crowd.SERVERS:
                all_found = crowd.measured(server, favour=self._options.favour)
                say("\n".join(line for found in all_found for line in found.lines()))
                self._apart["crowd"] += map(asdict, all_found)
        if "generation" in self._options.only:
            chosen = (engines.QUICK, rows.QUICK) if self._options.quick else (engines.ALL, tuple(rows.ALL))
            compared = comparison.compare(*chosen, self._options.rounds)
            say("\n".join(compared.lines()))
            self._failed += compared.failed
            self._apart["generation"] = compared.medians()
        if "sharing" in self._options.only:
            self._apart["sharing"] = shared = sharing.measured()
            say("\n".join(shared["lines"]))

    def _round(self) -> None:
        sections = self._options.only
        chosen: list[str] = self._options.servers
        if {"mixed", "open", "short"} & set(sections):
            for server in chosen:
                self._one("bundled", server)
            if self._options.servers_by_default:  # the machine may have changed meanwhile
                for server in LIMITS:
                    self._direct("bundled", server, "mixed")
        if "base" in sections:
            for server in chosen:
                if server not in NOT_WITH_BASE:
                    self._one("base", server)

    def _one(self, model: str, server: str) -> None:
        """One that fails does not end the run."""
        try:
            self._measure(model, server)
        except (AssertionError, Failed) as error:
            self._failed.append(server)
            say("\n".join([f"FAILED {server}: {error}", *getattr(error, "__notes__", ())]))

    def _measure(self, model: str, server: str) -> None:
        corpora = ["mixed"] if model == "base" else [c for c in ("mixed", "short") if c in self._options.only]
        if server in (*LIMITS, *OFFLINE, PIPELINE):
            for corpus in corpora:
                self._direct(model, server, corpus)
        else:
            self._served(model, server, corpora)

    def _direct(self, model: str, server: str, corpus: str) -> None:
        """Without a server. The wait policy that was better at first stays; the larger model hardly feels it."""
        key = Key(model, server, corpus, "direct")
        if server in OFFLINE:
            windows, extra = offline(model, server, corpus)
            self._keep(key, windows, **extra)
            return
        before = [row for key, row in self._results.rows.items() if key.server == server]
        policies = [before[0].extra["wait_policy"]] if before else WAIT_POLICIES if model == "bundled" else ["PASSIVE"]
        if server == PIPELINE:
            windows, extra = bare_pipeline(model, corpus, policies, self._timing)
        else:
            windows, extra = limit(model, server, corpus, policies)
        self._keep(key, windows, **extra)

    def _served(self, model: str, server: str, corpora: list[str]) -> None:
        opened = model == "bundled" and "open" in self._options.only and server not in NOT_OPEN
        loads = [(corpus, clients) for corpus in corpora for clients in self._clients(model, server, corpus)]
        with servers.running(server, folder(model)) as target:
            if self._options.favour:
                for session in target.sessions:
                    proc.favour(session)
            meter = PaddingMeter(target.port) if target.ours else None
            for corpus, clients in loads:
                last = (corpus, clients) == loads[-1] and not opened and not target.ours
                timing = replace(self._timing, drain_s=0) if last else self._timing
                self._closed_loop(Key(model, server, corpus, str(clients)), target, timing, meter)
            if opened:
                self._open_loop(target)

    def _closed_loop(
        self, key: Key, target: servers.Target, timing: Timing, meter: PaddingMeter | None = None
    ) -> float:
        loaded = closed_loop(target, key.corpus, int(key.load), timing)
        padding = meter.after(loaded.tokens) if meter else None
        return self._keep(key, loaded.windows, **({} if padding is None else {"padding": padding}))

    def _open_loop(self, target: servers.Target) -> None:
        closed = [row for key, row in self._results.rows.items() if key.server == target.name and key.corpus == "mixed"]
        capacity = max((row.rate for row in closed if row.key.load.isdecimal()), default=0.0)
        if not capacity:
            capacity = self._closed_loop(Key("bundled", target.name, "mixed", "32"), target, self._timing)
        timing = replace(self._timing, window_s=OPEN_WINDOW_S, drain_s=0)
        loaded = open_loop(target, "mixed", OF_CAPACITY * capacity, timing)
        remark = f"{OF_CAPACITY * capacity:.0f}/s sent"
        self._keep(Key("bundled", target.name, "mixed", "open"), loaded.windows, remark=remark)

    def _clients(self, model: str, server: str, corpus: str) -> tuple[int, ...]:
        if self._options.clients:
            return tuple(self._options.clients)
        if model == "base":
            return BASE_PEERS_CLIENTS if server in servers.PEERS else CLIENTS["base"]
        return CLIENTS[corpus]

    def _keep(self, key: Key, windows: list[dict[str, Any]], **extra: Any) -> float:
        row = self._results.add(key, windows, **extra)
        say(report.line(row, self._width))
        return row.rate


def _list_of(known: Callable[[str], object], groups: dict[str, tuple[str, ...]]) -> Callable[[str], list[str]]:
    def read(given: str) -> list[str]:
        names = [name for part in given.split(",") for name in groups.get(part, (part,))]
        for name in names:
            if not known(name):
                raise argparse.ArgumentTypeError(f"{name!r} is not known")
        return names

    return read


def _options() -> argparse.Namespace:
    sections = _list_of(SECTIONS.__contains__, {"all": SECTIONS})
    names = _list_of(lambda name: name in ORDER or servers.variant(name) is not None, GROUPS)
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", type=sections, help=f"of {', '.join(SECTIONS)}; default: all")
    parser.add_argument("--servers", type=names, help=f"of {', '.join(ORDER)}, or all, peers, limits; default: all")
    parser.add_argument("--clients", type=lambda given: [int(n) for n in given.split(",")], help="such as 1,32")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.8, help="length of a window")
    parser.add_argument("--warmup", type=float, default=1.0, help="seconds")
    parser.add_argument("--cap", type=float, default=15.0, help="seconds at most for one load")
    parser.add_argument("--quick", action="store_true", help="of generation: fewer rows, of fewer servers")
    parser.add_argument("--favour", action="store_true", help="before all other processes of the machine (needs root)")
    parser.add_argument("--json", help="file for the results; default: .bench-cache/<date>.json for full runs")
    options = parser.parse_args()
    options.servers_by_default = options.servers is None
    full = options.servers_by_default and options.only is None
    options.servers = options.servers or list(ORDER)
    options.only = options.only or list(SECTIONS)
    if full and not options.json:
        options.json = models.cache() / f"bench-{datetime.now(UTC):%Y-%m-%dT%H%M}.json"
    return options


if __name__ == "__main__":
    sys.exit(Bench(_options()).run())
