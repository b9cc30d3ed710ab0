"""Every server in the comparison: how it is started, and how it wants to be asked.

Variants are compared side by side by names with settings or another checkout of this project:
``ours:INFERENCE_THREADS=1``, ``ours@/tmp/before``; of the peers by their options: ``litserve-8:workers=1:threads=2``.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from tests import processes
from tests.benchmarks.texts import SHORT
from tests.processes import ROOT, Process, Web

PEERS_PYTHON = ROOT / ".venv-bench/bin/python"
PEERS_ENV = {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
FIRST_ANSWER_S = 60.0


@dataclass(frozen=True)
class Target:
    """A server that runs. ``sessions`` are its processes: each is started in a session of its own."""

    name: str
    port: int
    sessions: list[int]
    path: str = "/"
    as_json: bool = False
    parts: list[str] = field(default_factory=list)
    """Names of the sessions, if there are several."""

    @property
    def ours(self) -> bool:
        return self.name.startswith("ours")


@dataclass(frozen=True)
class Variant:
    """What a name asks for."""

    kind: str
    checkout: str = ""
    settings: dict[str, str] = field(default_factory=dict)


@contextmanager
def _embedded(variant: Variant, model: str) -> Iterator[Target]:
    env = {"INFERENCE_MODEL": model, **variant.settings}
    with _elsewhere(variant.checkout, env) if variant.checkout else processes.web(env=env) as web:
        yield Target(variant.kind, web.port, [web.pid])
        web.kill()


@contextmanager
def _elsewhere(checkout: str, env: dict[str, str]) -> Iterator[Web]:
    """The server of another checkout, with this one's packages."""
    database, port = processes.new_database(), processes.free_port()
    web = Web(processes.environment(None, database, env), database, port)
    web._command = ["env", "-C", checkout, *web._command]
    with web.runs(lambda: web.wait_until_answers("/health/ready")):
        yield web


@contextmanager
def _over_redis(variant: Variant, model: str) -> Iterator[Target]:
    env = {"INFERENCE_MODEL": model, **variant.settings}
    with ExitStack() as stack:
        redis = stack.enter_context(processes.redis_server())
        worker = stack.enter_context(processes.worker(redis, env))
        web = stack.enter_context(processes.web(redis, env))
        parts = ["web", "worker", "redis"]
        yield Target(variant.kind, web.port, [web.pid, worker.pid, redis.pid], parts=parts)
        for process in (web, worker, redis):
            process.kill()


@contextmanager
def _peer(module: str, options: list[str], variant: Variant, target: Target) -> Iterator[Target]:
    if not PEERS_PYTHON.exists():
        raise SystemExit(f"{target.name} needs {PEERS_PYTHON.parent.parent.name}; `make bench` installs it.")
    environment = {name: value for name, value in variant.settings.items() if name.isupper()}
    options = [*options, *(f"--{name}={value}" for name, value in variant.settings.items() if name not in environment)]
    command: list[str | Path] = [PEERS_PYTHON, "-m", f"tests.benchmarks.{module}", "--port", str(target.port)]
    # The peers have an environment of their own; what they inherit from ours is the path alone.
    inherited = {"PATH": os.environ["PATH"], "HOME": str(processes.scratch())}
    process = Process(target.name, [*command, *options], inherited | PEERS_ENV | environment)
    with process.runs(lambda: process.wait_for(lambda: _answers(target), "it answers")):
        yield replace(target, sessions=[process.pid])
        process.kill()


def _guide(variant: Variant, model: str) -> AbstractContextManager[Target]:
    options = ["--model", model, *(["--batching"] if variant.kind == "guide-batching" else [])]
    return _peer("peer_guide", options, variant, Target(variant.kind, processes.free_port(), []))


def _litserve(variant: Variant, model: str) -> AbstractContextManager[Target]:
    options = ["--model", model, "--max-batch-size", variant.kind.removeprefix("litserve-")]
    target = Target(variant.kind, processes.free_port(), [], "/predict", as_json=True)
    return _peer("peer_litserve", options, variant, target)


def _answers(target: Target) -> bool:
    """Whether it answers with 200, which is also its first warm-up."""
    url = f"http://127.0.0.1:{target.port}{target.path}"
    try:
        if target.as_json:
            response = httpx.post(url, json={"inputs": SHORT}, trust_env=False, timeout=FIRST_ANSWER_S)
        else:
            response = httpx.post(url, content=SHORT, trust_env=False, timeout=FIRST_ANSWER_S)
    except httpx.TransportError:
        return False
    return response.status_code == 200


Start = Callable[[Variant, str], AbstractContextManager[Target]]

OURS: dict[str, Start] = {"ours": _embedded, "ours-bf16": _embedded, "ours-redis": _over_redis}
PEERS: dict[str, Start] = {
    "guide": _guide,
    "guide-batching": _guide,
    "litserve-1": _litserve,
    "litserve-8": _litserve,
    "litserve-32": _litserve,
}
# The guide's model blocks its event loop anyway, so its threads may spin while they wait: 49 against 40 texts a second.
SETTINGS = {
    "ours-bf16": {"INFERENCE_DTYPE": "bfloat16"},
    "guide": {"OMP_WAIT_POLICY": "ACTIVE"},
    "guide-batching": {"OMP_WAIT_POLICY": "ACTIVE"},
}
NAME = re.compile(r"(?P<kind>[a-z0-9-]+)(@(?P<checkout>[^:]+))?(?P<settings>(:[^:=]+=[^:]*)*)")


def variant(name: str) -> Variant | None:
    """``None`` if there is no such server."""
    match = NAME.fullmatch(name)
    if not match or match["kind"] not in OURS | PEERS:
        return None
    settings = dict(setting.split("=", 1) for setting in match["settings"].split(":")[1:])
    return Variant(match["kind"], match["checkout"] or "", SETTINGS.get(match["kind"], {}) | settings)


@contextmanager
def running(name: str, model: str) -> Iterator[Target]:
    """Start it, wait until it answers, end it."""
    asked = variant(name)
    assert asked, name
    with (OURS | PEERS)[asked.kind](asked, model) as target:
        yield replace(target, name=name)


assert sys.platform == "linux", "CPU and memory are read from /proc"
