"""Servers in the states in which pages are shown."""

import itertools
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests import admins, fakes, processes
from tests.conftest import client
from tests.processes import Web
from tests.real import models

FAKE = {
    "words": ("fill-mask", ""),
    "chat": ("text-generation", ""),
    "labels": ("zero-shot-classification", ""),
    "pictures": ("object-detection", ""),
    "speech": ("automatic-speech-recognition", ""),
    "vectors": ("feature-extraction", ""),
    "translator": ("translation", fakes.BROKEN),
}
REAL = {
    "chat": ("text-generation", "smollm2"),
    "vectors": ("feature-extraction", "minilm"),
    "similarity": ("sentence-similarity", "minilm"),
    "pictures": ("image-classification", "efficientnet"),
    "speech": ("automatic-speech-recognition", "whisper"),
}
"""Task and model by name."""
LOG = {"INFERENCE_LOG_INPUTS": "full"}
KEYS = (("acme", "shop"), ("acme", "search"), ("research", "notebooks"))
REQUESTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/pipelines/words", {"inputs": "Paris is the [MASK] of France."}),
    ("/pipelines/words", {"inputs": ["The [MASK] is blue.", "She plays the [MASK]."], "parameters": {"top_k": 3}}),
    ("/pipelines/words", {"inputs": "nothing to fill in"}),
    ("/pipelines/labels", {"inputs": "A new phone was shown.", "parameters": {"candidate_labels": ["sport", "tech"]}}),
    ("/pipelines/vectors", {"inputs": "The sky is blue.", "parameters": {"pooling": "mean"}}),
    ("/pipelines/chat", {"inputs": "Once upon a time", "parameters": {"max_new_tokens": 20}}),
    ("/v1/chat/completions", {"model": "chat", "messages": [{"role": "user", "content": "What is new?"}]}),
    ("/pipelines/translator", {"inputs": "How are you?"}),
    ("/pipelines/none", {"inputs": "Is anybody there?"}),
)
ROUNDS = 12
DAYS = 30


@dataclass(frozen=True)
class Site:
    server: Web
    session: Any
    """Of an admin, for the pages' contexts."""


@contextmanager
def new() -> Iterator[Site]:
    """Nobody has asked anything yet."""
    with processes.web(env=_catalog(FAKE) | processes.FAKE, wait_for="/health/live") as server:
        yield Site(server, admins.session(server))


@contextmanager
def loading() -> Iterator[Site]:
    """The first pipeline is being loaded, and the others wait for it."""
    held = processes.new_hold()
    env = _catalog(FAKE) | processes.FAKE | held.env
    with held(), processes.web(env=env, wait_for="/health/live") as server:
        yield Site(server, admins.session(server))
        held.end()


@contextmanager
def used() -> Iterator[Site]:
    """Thirty days of requests by several keys; one pipeline could not be loaded."""
    env = _catalog(FAKE) | processes.FAKE | LOG | {"INFERENCE_ACCESS": "keys", fakes.DELAY_S: "0.02"}
    with processes.web(env=env, wait_for="/health/live") as server, client(server) as http:
        _ask_everything(server, http)
        _repeat_on_earlier_days(server)
        yield Site(server, admins.session(server))


@contextmanager
def real() -> Iterator[Site]:
    """The models of ``make test-real``."""
    tables = {name: (task, str(models.folder(model))) for name, (task, model) in REAL.items()}
    with processes.web(env=_catalog(tables) | LOG) as server, client(server) as http:
        server.wait_for(lambda: _states(http) == {"ready"}, "all models are loaded")
        yield Site(server, admins.session(server))


SITES: dict[str, Callable[[], AbstractContextManager[Site]]] = {
    "new": new,
    "loading": loading,
    "used": used,
    "real": real,
}


def is_there(site: str) -> bool:
    return site != "real" or all(models.folder(model).exists() for _, model in REAL.values())


def _catalog(pipelines: dict[str, tuple[str, str]]) -> dict[str, str]:
    tables = [f'[{name}]\ntask = "{task}"\nmodel = "{model or name}"\n' for name, (task, model) in pipelines.items()]
    path = processes.scratch() / "screenshots.toml"
    path.write_text("\n".join(tables))
    return {"INFERENCE_PIPELINES": str(path)}


def _states(http: httpx.Client) -> set[str]:
    """Callers without a key that manages do not learn them."""
    return {pipeline["status"] for pipeline in http.get("/health/ready").json().get("pipelines", {}).values()}


def _ask_everything(server: Web, http: httpx.Client) -> None:
    keys = [_key(server, owner, name) for owner, name in KEYS]
    http.headers["authorization"] = f"Bearer {_key(server, 'operators', 'monitoring', scope='manage')}"
    server.wait_for(lambda: _states(http) == {"ready", "failed"}, "all pipelines are loaded, or cannot be")
    asked = itertools.product(range(ROUNDS), REQUESTS)
    ids = [
        http.post(path, json=body, headers={"authorization": f"Bearer {key}"}).headers["x-request-id"]
        for (_, (path, body)), key in zip(asked, itertools.cycle(keys), strict=False)
    ]
    server.row(ids[-1])
    processes.wait_until(lambda: len(ids) <= server.rolled_up(), "the dashboard has all of them")


def _key(server: Web, owner: str, name: str, scope: str = "inference") -> str:
    command = [sys.executable, "manage.py", "api_keys", "create", "--owner", owner, "--name", name, "--scope", scope]
    made = subprocess.run(command, cwd=processes.ROOT, env=server.env, check=True, capture_output=True, text=True)
    return made.stdout.strip()


def _repeat_on_earlier_days(server: Web) -> None:
    """What was asked today, on other days a little more or less of it."""
    with closing(sqlite3.connect(server.database, timeout=processes.WAIT_S)) as connection, connection:
        processes.wait_until(lambda: server.usage(), "usage is written")
        for ago in range(1, DAYS):
            earlier = f"'-{ago} days'"
            part = 0.4 + ago * 7 % 5 / 5
            more = {name: f"round({name} * {part})" for name in ("requests", "inputs", "units", "refused")}
            _copy(connection, "inference_usage", day=f"date(day, {earlier})", **more)
            _copy(connection, "inference_inferencerequest", received_at=f"datetime(received_at, {earlier})")


def _copy(connection: sqlite3.Connection, table: str, **changed: str) -> None:
    """Today's rows again, with other values in these columns, and identifiers of their own."""
    names = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})") if name != "id"]
    values = [changed.get(name, name) for name in names]
    first = next(iter(changed))
    connection.execute(
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(values)} FROM {table} "  # noqa: S608
        f"WHERE date({first}) = date('now')"
    )
