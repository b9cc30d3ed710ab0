"""The processes of a soak run: Redis, web servers that share a request log, and workers under a supervisor."""

import asyncio
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx

from tests import processes
from tests.processes import POLL_S, Environment, Redis, Web, Worker, figure
from tests.soak import keys
from tests.soak.catalog import PIPELINES, TORN_PIPELINE

FAULTY_WORKER = [sys.executable, "-m", "tests.soak.faulty_worker"]
AT_REST = ("pending_inputs", "dispatched_jobs", "queue_depth")
REST_S = 10.0


class Cluster:
    """Worker processes are started again as soon as they have ended, as a supervisor would."""

    def __init__(self, redis: Redis, webs: list[Web], workers: list[Worker], own_keys: list[str]) -> None:
        self.redis = redis
        self.keys = own_keys
        self.webs = webs
        self.workers = workers
        self.restarts = 0
        self._stopping = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)

    def start(self) -> None:
        self._supervisor.start()

    def stop(self) -> None:
        """No more restarts."""
        self._stopping.set()
        self._supervisor.join()

    async def all_ready(self, deadline_s: float = processes.START_S) -> None:
        """Wait until the workers are loaded, but for the pipeline that cannot be, and every web process knows them."""
        end = time.monotonic() + deadline_s
        while not await self._all_known():
            assert time.monotonic() < end, f"not within {deadline_s:g} s: all workers are ready and known"
            await asyncio.sleep(POLL_S)

    async def _all_known(self) -> bool:
        if not all(worker.running and _loaded(worker) for worker in self.workers):
            return False
        return all([await self._known(web) for web in self.webs])

    async def _known(self, web: Web) -> bool:
        found, number = await metrics(web), len(self.workers)
        return (
            found is not None
            and all(figure(found, "workers_ready", name) == number for name in PIPELINES)
            and figure(found, "workers_failed", TORN_PIPELINE) == number
        )

    async def health(self) -> list[tuple[int, dict[str, str]]]:
        """What each web process answers to ``/health/ready``: the code, and the state of each pipeline."""
        async with httpx.AsyncClient(trust_env=False, timeout=processes.WAIT_S) as http:
            replies = [await http.get(f"{web.url}/health/ready") for web in self.webs]
        return [
            (reply.status_code, {name: each["status"] for name, each in reply.json()["pipelines"].items()})
            for reply in replies
        ]

    async def not_at_rest(self) -> list[str]:
        """What has not gone back to zero some time after the last answer."""
        end = time.monotonic() + REST_S
        while True:
            known = [await metrics(web) for web in self.webs]
            found = [
                f"{name} is {value:g} at web {number}"
                for number, text in enumerate(known)
                for name in AT_REST
                if text is None or (value := figure(text, name)) != 0
            ]
            if not found or time.monotonic() > end:
                return found
            await asyncio.sleep(0.2)

    def said(self, pattern: str) -> int:
        """How often a line like this is in the logs of web processes and workers."""
        return sum(len(re.findall(pattern, process.log())) for process in (*self.webs, *self.workers))

    def _supervise(self) -> None:
        while not self._stopping.wait(POLL_S):
            for worker in self.workers:
                if not worker.running:
                    worker.start()
                    self.restarts += 1


async def metrics(web: Web) -> str | None:
    """``None`` if it does not answer."""
    async with httpx.AsyncClient(trust_env=False) as http:
        try:
            return (await http.get(f"{web.url}/metrics", timeout=5)).text
        except httpx.TransportError:
            return None


def _loaded(worker: Worker) -> bool:
    log = worker.newest_log()
    return all(f"pipeline {name}: ready" in log for name in PIPELINES)


@contextmanager
def running(env: Environment, webs: int = 2, workers: int = 2, number_of_keys: int = 0) -> Iterator[Cluster]:
    """All processes, ready; at the end they must stop cleanly. With keys, the servers answer nobody else."""
    database = processes.new_database()
    own_keys = keys.make(database, number_of_keys)
    env = {**env, **(keys.ACCESS if own_keys else {})}
    with ExitStack() as stack:
        redis = stack.enter_context(processes.redis_server())
        all_workers = [
            stack.enter_context(processes.worker(redis, env, wait=False, command=FAULTY_WORKER)) for _ in range(workers)
        ]
        all_webs = [
            stack.enter_context(processes.web(redis, env, database=database, wait_for=None)) for _ in range(webs)
        ]
        for web in all_webs:
            web.wait_until_answers("/health/ready")
        cluster = Cluster(redis, all_webs, all_workers, own_keys)
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()
