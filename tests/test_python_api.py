"""``infer``, ``infer_sync`` and ``stream`` in processes of their own."""

import asyncio
import json
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import inference
from inference.python_api import CannotServe
from tests import processes
from tests.conftest import Reference
from tests.fakes import BROKEN, REASON
from tests.processes import Redis, Worker

TEXT = "Paris is the capital of [MASK]."
OTHER = "The [MASK] is blue."
DEADLINE_S = 300.0
"""Loading takes four seconds on an idle machine, and the first call waits for it."""

THREE_WAYS = f"""
import asyncio, json, threading
from inference import infer, infer_sync

async def two_at_once():
    return await asyncio.gather(infer({TEXT!r}), infer([{TEXT!r}, {OTHER!r}], {{"top_k": 2}}))

from django.utils.safestring import mark_safe

print(json.dumps([infer_sync(mark_safe({TEXT!r})), *asyncio.run(two_at_once())]))
print(sum(thread.name == "inference" for thread in threading.enumerate()))

from asgiref.testing import ApplicationCommunicator
from inferencesite.asgi import application

async def post():
    headers = [(b"host", b"localhost")]
    scope = {{"type": "http", "http_version": "1.1", "method": "POST", "path": "/", "headers": headers}}
    client = ApplicationCommunicator(application, scope)
    await client.send_input({{"type": "http.request", "body": {TEXT.encode()!r}}})
    print((await client.receive_output(20))["status"])
    print((await client.receive_output(20))["body"].decode())
    await client.wait()

asyncio.run(post())
"""
REFUSED = """
from inference import infer_sync
from inference.errors import InferenceError

for inputs, parameters in ((["a [MASK]", ""], None), ("a [MASK]", {"padding": 1}), (["a [MASK]", object()], None)):
    try:
        infer_sync(inputs, parameters)
    except InferenceError as error:
        print(error.code, error.message)
"""
STREAMS = """
import asyncio, json
from inference import infer, stream
from inference.errors import InferenceError

async def main():
    asked = {"max_new_tokens": 12, "seed": 3, "return_full_text": False}
    pieces = [piece async for piece in stream("once upon a time", asked)]
    print(json.dumps([pieces, await infer("once upon a time", asked)]))
    async for _ in (left := stream("left early", {"max_new_tokens": 4000})):
        break
    await left.aclose()
    try:
        await anext(stream(["once", "twice"]))
    except InferenceError as error:
        print(error.code, error.message)

asyncio.run(main())
"""
FORKED = """
import os, sys
from inference import infer_sync

print(infer_sync("of the parent [MASK]")[0]["sequence"], flush=True)
if (child := os.fork()) == 0:
    print(infer_sync("of the child [MASK]")[0]["sequence"])
    sys.exit()
print(os.waitpid(child, 0)[1], infer_sync("of the parent [MASK]")[0]["sequence"])
"""
ELSEWHERE = """
import sys
from inference import infer_sync
from inference.process import web

print(infer_sync("test [MASK]", {"top_k": 1})[0]["sequence"])
print("torch" in sys.modules, web.current().embedded_host)
"""
FORKED_MEANWHILE = """
import os, sys, threading
from inference import infer_sync
from inference.process import on_demand

with on_demand._lock:  # as another thread does that starts
    if (child := os.fork()) == 0:
        print(infer_sync("of the child [MASK]")[0]["sequence"])
        sys.exit()
print(os.waitpid(child, 0)[1])
"""
NO_MODEL = """
from inference import infer_sync
from inference.python_api import CannotServe

for _ in range(2):
    try:
        infer_sync("a [MASK]")
    except CannotServe as error:
        print(error)
"""


@dataclass(frozen=True)
class Ended:
    """A process that has come to its end."""

    lines: list[str]
    errors: str
    rows: list[dict[str, Any]]


def run_python(code: str, redis: Redis | None = None, /, **env: str) -> Ended:
    """In a process that serves nothing; it must end by itself, and well."""
    database = processes.new_database()
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]
    ended = subprocess.run(
        command,
        cwd=processes.ROOT,
        env=processes.environment(redis, database, {"INFERENCE_DEADLINE_S": "100", **env}),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return Ended(ended.stdout.splitlines(), ended.stderr, _rows(database))


def _rows(database: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        query = "SELECT * FROM inference_inferencerequest ORDER BY received_at, id"
        return [dict(row) for row in connection.execute(query)]


# In a fresh process


@pytest.fixture(scope="module")
def asked() -> Ended:
    """Right answers first, then refusals."""
    return run_python(THREE_WAYS + REFUSED)


@pytest.mark.timeout(DEADLINE_S + 30)
def test_infer_returns_what_the_pipeline_returns_and_is_logged(asked: Ended, reference: Reference):
    answers, threads, status, over_http = asked.lines[-7:-3]
    from_sync, alone, together = json.loads(answers)
    reference.check(from_sync, TEXT)
    reference.check(alone, TEXT)
    assert len(together) == 2
    reference.check(together[0], TEXT, top_k=2)
    reference.check(together[1], OTHER, top_k=2)
    assert threads == "1", "the first call starts what is needed, once"
    assert status == "200", "a server in the same process has another event loop"
    reference.check(json.loads(over_http), TEXT)
    wanted = [("python", "ok", None)] * 3 + [("http", "ok", None)]
    rows = asked.rows[:-3]
    assert [(row["transport"], row["status"], row["client"]) for row in rows] == wanted
    assert sorted(row["inputs"] for row in rows) == [1, 1, 1, 2]
    assert all(row["total_ms"] > 0 for row in rows)
    assert "Traceback" not in asked.errors


@pytest.mark.timeout(DEADLINE_S + 30)
def test_infer_raises_what_a_client_would_be_told_and_that_is_logged(asked: Ended):
    empty, unknown, foreign = asked.lines[-3:]
    assert empty == "empty inputs[1] is empty; send a text."
    assert unknown.startswith("validation There is no parameter 'padding' for fill-mask;")
    assert foreign.startswith("validation inputs and parameters must be plain JSON values:")
    assert [row["code"] for row in asked.rows[-3:]] == ["empty", "validation", "validation"]
    assert {row["transport"] for row in asked.rows[-3:]} == {"python"}


@pytest.mark.timeout(DEADLINE_S + 30)
def test_infer_says_why_this_process_cannot_serve():
    """At once, though the deadline is an hour."""
    hour = {"INFERENCE_DEADLINE_S": "3600", "INFERENCE_MAX_DEADLINE_S": "3600"}
    ended = run_python(NO_MODEL, INFERENCE_MODEL=BROKEN, **processes.FAKE, **hour)
    first, second = ended.lines[-2:]
    assert first == second
    assert REASON in first


def test_where_workers_are_processes_a_call_loads_no_model(redis: Redis, shared_worker: Worker, reference: Reference):
    ended = run_python(ELSEWHERE, redis)
    assert ended.lines == [reference.answer("test [MASK]", top_k=1)[0]["sequence"], "False None"]


def test_a_forked_child_serves_itself():
    """As the workers of Celery and the processes of gunicorn are made. None of the parent's threads is in the child."""
    ended = run_python(FORKED, INFERENCE_BACKEND="inference.testing.backend")
    assert ended.lines == ["of the parent word", "of the child word", "0 of the parent word"]
    assert [row["status"] for row in ended.rows] == ["ok"] * 3


def test_a_child_that_is_forked_while_the_parent_starts_serves_itself():
    ended = run_python(FORKED_MEANWHILE, INFERENCE_BACKEND="inference.testing.backend")
    assert ended.lines == ["of the child word", "0"]


# On a running loop


async def test_infer_sync_on_a_running_loop_says_what_to_do_instead():
    sentence = r"^infer_sync\(\) would block the running event loop; use `await infer\(\)`\.$"
    with pytest.raises(RuntimeError, match=sentence):
        inference.infer_sync(TEXT)


async def test_infer_sync_on_a_running_loop_starts_nothing():
    before = asyncio.all_tasks()
    with pytest.raises(RuntimeError):
        inference.infer_sync(TEXT)
    assert asyncio.all_tasks() == before


# A process that cannot be set up


class Refusing:
    """In place of ``WebProcess``: a set-up that takes as long as the test says, and fails."""

    def __init__(self) -> None:
        self.tried = 0
        self.may_fail = threading.Event()

    def __call__(self, on_fatal: object, *, log_requests: bool) -> None:
        self.tried += 1
        if not self.may_fail.wait(20):
            raise TimeoutError("the loop of the caller stands still")
        raise ValueError("no such layer")


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Refusing:
    refusing = Refusing()
    monkeypatch.setattr("inference.process.web._current", None)
    monkeypatch.setattr("inference.process.web.WebProcess", refusing)
    return refusing


async def test_infer_says_that_this_process_cannot_be_set_up_and_blocks_no_loop(refusing: Refusing):
    for asked in (inference.infer(TEXT), anext(inference.stream(TEXT))):
        refusing.may_fail.clear()
        asking = asyncio.ensure_future(asked)
        asyncio.get_running_loop().call_later(0.01, refusing.may_fail.set)
        with pytest.raises(CannotServe, match=r"^This process could not be set up .*ValueError\('no such layer'\)\.$"):
            await asking
    assert refusing.tried == 2, "each call tries anew"


def test_infer_sync_says_that_this_process_cannot_be_set_up(refusing: Refusing):
    refusing.may_fail.set()
    with pytest.raises(CannotServe, match="no such layer"):
        inference.infer_sync(TEXT)


# Token by token


@pytest.mark.timeout(DEADLINE_S + 30)
def test_tokens_come_to_other_code_too(generation: dict[str, str]):
    ended = run_python(STREAMS, **generation)
    pieces, answer = json.loads(ended.lines[0])
    assert len(pieces) > 5
    assert [{"generated_text": "".join(pieces)}] == answer
    assert ended.lines[1].startswith("validation 'stream' is for one input")
    assert [row["code"] for row in ended.rows] == ["", "", "cancelled", "validation"]


def test_it_can_be_imported_before_django_is_set_up():
    script = "from inference import infer, infer_sync, stream; import inference.errors"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=processes.ROOT, env={"PATH": "/usr/bin"})
