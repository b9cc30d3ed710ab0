"""Run with ``make compose-check``: some minutes for each Compose that is installed. 1 if a promise is broken."""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from websockets.sync.client import connect

from tests.compose import images
from tests.compose.deployment import Deployment, compose_commands, ensure_engine
from tests.compose.load import CLIENT_S, Ledger

FAULT_S = 5.0
"""Of load before and after a fault."""
REFUSALS = {"503 overloaded", "503 draining", "503 loading", "503 worker_lost", "504 timeout", "502 proxy", "504 proxy"}
"""What a client may be told while services are stopped or lost; it may ask again."""


def main() -> int:
    engine = ensure_engine()
    try:
        with tempfile.TemporaryDirectory() as folder:
            made = images.make_missing(Path(folder))
            say(f"stand-ins for {', '.join(made)}" if made else "images are there")
            for version, command in compose_commands().items():
                say(f"Compose {version}")
                check(Deployment(command, Path(folder)))
    except AssertionError as error:
        say(f"FAILED: {error}")
        return 1
    finally:
        if engine is not None:
            engine.terminate()
            engine.wait()
    say("every promise was kept")
    return 0


def check(deployment: Deployment) -> None:
    ledger = Ledger(f"{deployment.url}/")
    try:
        with timed("build"):
            deployment.compose("build")
        with timed("up, until it is ready"):
            deployment.up()
        say(deployment.memory())
        check_clients(deployment, ledger)
        deployment.up(worker=2)
        before = deployment.containers()
        deployment.up(worker=2)
        expect(deployment.containers() == before, "a second up makes nothing anew")
        lossless(deployment, ledger, "a worker is killed", lambda: deployment.kill("worker"))
        lossless(deployment, ledger, "PostgreSQL is killed", lambda: deployment.kill("postgres"))
        disturbed(deployment, ledger, "Redis is killed", lambda: deployment.kill("redis"))
        replace = ("up", "--detach", "--no-deps", "--force-recreate", "--scale", "worker=2")
        lossless(deployment, ledger, "workers are replaced", lambda: deployment.compose(*replace, "worker"))
        disturbed(deployment, ledger, "the web server is replaced", lambda: deployment.compose(*replace, "web"))
        stop_under_load(deployment, ledger)
    finally:
        deployment.remove()


def check_clients(deployment: Deployment, ledger: Ledger) -> None:
    with httpx.Client(trust_env=False, timeout=CLIENT_S) as client:
        for _ in range(200):
            ledger.ask(client)
        large = client.post(deployment.url, content=b"x" * 2**21)
    expect(ledger.summary() == {"200": 200}, f"200 requests are answered: {ledger.summary()}")
    expect(
        (large.status_code, large.json()["error_type"]) == (413, "payload_too_large"), "a large body gets a sentence"
    )
    with connect(f"ws://127.0.0.1:{deployment.port}/ws/", proxy=None) as socket:
        socket.send(json.dumps({"type": "infer", "id": "1", "inputs": "test [MASK]"}))
        while (frame := json.loads(socket.recv(CLIENT_S)))["type"] not in ("result", "error"):
            pass
    expect(frame["type"] == "result", "a WebSocket is answered")
    check_log(deployment, ledger)


def lossless(deployment: Deployment, ledger: Ledger, what: str, fault: Callable[[], object]) -> None:
    """Every request is answered."""
    before = ledger.summary()
    under_load(ledger, fault)
    told = ledger.summary() - before
    expect(set(told) == {"200"}, f"{what}: {dict(told)}")
    check_log(deployment, ledger)


def disturbed(deployment: Deployment, ledger: Ledger, what: str, fault: Callable[[], object]) -> None:
    """Every request is answered or refused with a reason."""
    before = ledger.summary()
    under_load(ledger, fault)
    told = ledger.summary() - before
    expect(set(told) <= {"200", *REFUSALS} and told["200"] > 0, f"{what}: {dict(told)}")
    check_log(deployment, ledger)


def stop_under_load(deployment: Deployment, ledger: Ledger) -> None:
    before = ledger.summary()
    with ledger.load():
        time.sleep(FAULT_S)
        deployment.compose("stop")
    told = ledger.summary() - before
    say(f"stop under load: {dict(told)}")
    deployment.up(worker=2)
    check_log(deployment, ledger)
    expect(told["200"] > 0 and not set(told) - {"200", "connection lost", *REFUSALS}, "what was accepted is answered")


def under_load(ledger: Ledger, fault: Callable[[], object]) -> None:
    with ledger.load():
        time.sleep(FAULT_S)
        fault()
        time.sleep(FAULT_S)


def check_log(deployment: Deployment, ledger: Ledger) -> None:
    """What clients were told is what the request log says, a moment later."""

    def wrong() -> list[str]:
        logged = deployment.outcomes()
        missing = [f"{request}: 200, not logged as ok" for request in ledger.answered() if logged.get(request) != "ok"]
        told = {request for request, status in ledger.told.items() if status and status != "200"}
        return missing + [f"{request}: logged as ok" for request in told if logged.get(request) == "ok"]

    end = time.monotonic() + 60
    while (found := wrong()) and time.monotonic() < end:
        time.sleep(0.5)
    expect(not found, f"the log has what {len(ledger.answered())} clients were told {found[:3]}")


def expect(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)
    say(f"ok: {what}")


@contextmanager
def timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - began:.0f} s")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
