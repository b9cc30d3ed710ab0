"""Run with ``make compose-check``: some minutes for each Compose that is installed. 1 if a promise is broken."""

import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from websockets.sync.client import connect

from inference.conf import BUNDLED_MODEL
from tests.compose import images
from tests.compose.deployment import Deployment, compose_commands, dangling, docker, ensure_engine
from tests.compose.load import CLIENT_S, CUT, NO_CONNECTION, Ledger

MOST_MB = 1300
"""Size of the image, with torch for CPUs."""
FAULT_S = 4.0
"""Of load before and after a fault."""
SCALE = {"worker": 2, "web": 2}


def main() -> int:
    engine = ensure_engine()
    try:
        with tempfile.TemporaryDirectory() as folder:
            made = images.make_missing(Path(folder))
            say(f"stand-ins for {', '.join(made)}" if made else "images are there")
            for version, command in compose_commands().items():
                say(f"Compose {version}")
                check(Deployment(version, command, Path(folder)), Path(folder) / version)
    except AssertionError as error:
        say(f"FAILED: {error}")
        return 1
    finally:
        if engine is not None:
            engine.terminate()
            engine.wait()
    say("every promise was kept")
    return 0


def check(deployment: Deployment, folder: Path) -> None:
    ledger = Ledger(f"{deployment.url}/")
    try:
        with timed("build"):
            deployment.compose("build")
        check_size(deployment.image)
        first_answer(deployment, ledger, "up, until the first answer")
        say(f"memory, idle: {deployment.memory()}")
        check_clients(deployment, ledger)
        say(f"memory, after 200 requests: {deployment.memory()}")
        check_nothing_is_made_anew(deployment, "--build")
        deployment.up(**SCALE)
        check_nothing_is_made_anew(deployment, **SCALE)
        lossless(deployment, ledger, "a worker is killed", lambda: deployment.kill("worker"))
        lossless(deployment, ledger, "PostgreSQL is killed", lambda: deployment.kill("postgres"))
        lossless(deployment, ledger, "Redis is killed", lambda: deployment.kill("redis"))
        lossless(
            deployment, ledger, "an upgrade to a model that is not there", lambda: check_failing_upgrade(deployment)
        )
        check_upgrade(deployment, ledger)
        stop_under_load(deployment, ledger, "stop")
        first_answer(deployment, ledger, "start, until the first answer", **SCALE)
        stop_under_load(deployment, ledger, "down")
        deployment.up(**SCALE)
        check_log(deployment, ledger)
        check_catalog(deployment, folder)
    finally:
        deployment.remove()


def check_size(image: str) -> None:
    found = images.layers(image)
    for size, made in found:
        if size > 1e6:
            say(f"{size / 1e6:6.0f} MB  {made[:80] or 'base'}")
    total = sum(size for size, _ in found) / 1e6
    expect(total <= MOST_MB, f"the image has {total:.0f} MB")


def first_answer(deployment: Deployment, ledger: Ledger, what: str, **scale: int) -> None:
    with timed(what):
        deployment.compose("up", "--detach", *(f"--scale={name}={number}" for name, number in scale.items()))
        with httpx.Client(trust_env=False, timeout=CLIENT_S) as client:
            while ledger.ask(client) != "200":
                time.sleep(0.1)
    deployment.up(**scale)


def check_clients(deployment: Deployment, ledger: Ledger) -> None:
    before = ledger.summary()
    with httpx.Client(trust_env=False, timeout=CLIENT_S) as client:
        for _ in range(200):
            ledger.ask(client)
        large = client.post(deployment.url, content=b"x" * 2**21)
    told = ledger.summary() - before
    expect(told == {"200": 200}, f"200 requests are answered: {told}")
    expect(
        (large.status_code, large.json()["error_type"]) == (413, "payload_too_large"), "a large body gets a sentence"
    )
    with connect(f"ws://127.0.0.1:{deployment.port}/ws/", proxy=None) as socket:
        socket.send(json.dumps({"type": "infer", "id": "1", "inputs": "test [MASK]"}))
        while (frame := json.loads(socket.recv(CLIENT_S)))["type"] not in ("result", "error"):
            pass
    expect(frame["type"] == "result", "a WebSocket is answered")
    check_log(deployment, ledger)


def check_nothing_is_made_anew(deployment: Deployment, *options: str, **scale: int) -> None:
    containers, without_tag = deployment.containers(), dangling()
    deployment.up(*options, **scale)
    expect(deployment.containers() == containers, f"a second up {' '.join(options)}".rstrip() + " makes nothing anew")
    expect(dangling() <= without_tag, "no image has lost its tag")


def check_failing_upgrade(deployment: Deployment) -> None:
    before = deployment.containers()
    deployment.configure(INFERENCE_MODEL="/models/missing")
    try:
        deployment.upgrade()
    except AssertionError as error:
        said = str(error)
    else:
        said = "nothing"
    deployment.configure(INFERENCE_MODEL="")
    expect("Cannot serve" in said and "It is removed" in said, f"an upgrade that fails says why {said[-200:]!r}")
    expect(deployment.containers() == before, "and changes nothing")


def check_upgrade(deployment: Deployment, ledger: Ledger) -> None:
    """To an image of another tag and other settings."""
    old = {service: set(deployment.containers(service)) for service in SCALE}
    before, new = deployment.image, f"{deployment.image}-new"
    docker("tag", before, new)
    deployment.configure(TAG=new.partition(":")[2], INFERENCE_MAX_INPUTS="64")
    with timed("rolling upgrade"):
        lossless(deployment, ledger, "workers and web servers are upgraded", deployment.upgrade)
    for service, number in SCALE.items():
        containers = set(deployment.containers(service))
        expect(len(containers) == number and not containers & old[service], f"{service}: {number} new ones")
        expect(deployment.images_of(service) == {new}, f"{service} has the new image")
    many = httpx.post(deployment.url, json={"inputs": ["test [MASK]"] * 65}, trust_env=False)
    expect(many.status_code == 413, "the new setting holds")
    check_nothing_is_made_anew(deployment, **SCALE)


def lossless(deployment: Deployment, ledger: Ledger, what: str, fault: Callable[[], object]) -> None:
    """Every request is answered."""
    before = ledger.summary()
    with ledger.load():
        time.sleep(FAULT_S)
        fault()
        time.sleep(FAULT_S)
    told = ledger.summary() - before
    expect(set(told) == {"200"}, f"{what}: {dict(told)}")
    check_log(deployment, ledger)


def stop_under_load(deployment: Deployment, ledger: Ledger, command: str) -> None:
    """Every request is answered that was accepted: see ``check_log``, once the database is there again."""
    before = ledger.summary()
    with ledger.load():
        time.sleep(FAULT_S)
        with timed(command):
            deployment.compose(command)
    told = ledger.summary() - before
    expect(told["200"] > 0 and set(told) <= {"200", NO_CONNECTION, CUT}, f"{command} under load: {dict(told)}")


def check_log(deployment: Deployment, ledger: Ledger) -> None:
    """What clients were told is what the request log says, a moment later."""
    end = time.monotonic() + 60
    while (found := ledger.disagreements(deployment.logged())) and time.monotonic() < end:
        time.sleep(0.5)
    answered = ledger.summary()["200"]
    expect(not found, f"the log has what clients were told, {answered} answers {found[:3] or ''}")


def check_catalog(deployment: Deployment, folder: Path) -> None:
    """Two pipelines of a folder, on workers that may use one core."""
    shutil.copytree(BUNDLED_MODEL, folder / "words")
    tables = (f'[{name}]\ntask = "fill-mask"\nmodel = "/models/words"\n' for name in ("first", "second"))
    (folder / "pipelines.toml").write_text("\n".join(tables))
    deployment.compose("down")
    deployment.configure(MODELS=str(folder), INFERENCE_PIPELINES="/models/pipelines.toml", WORKER_CPUS="1")
    deployment.up()
    for name in ("first", "second"):
        reply = httpx.post(f"{deployment.url}/pipelines/{name}", content="test [MASK]", trust_env=False, timeout=60)
        expect(reply.status_code == 200, f"pipeline {name} of a catalog in a folder is served")
    threads = set(re.findall(r"(\d+) threads", deployment.compose("logs", "worker")))
    expect(threads == {"1"}, f"a worker with a limit of one core has one thread: {threads}")


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
