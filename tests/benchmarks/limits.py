"""Ten times more than a key may ask for, at two web processes with one Redis: how much is let in.

    python -m tests.benchmarks.limits [--seconds 60] [--per-minute 600] [--without-redis]

The pipeline is a fake one. Requests come evenly, half of them to each process. Over the limit may be one second of the
key's requests for each process at most; otherwise the exit code is 1.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from tests import processes
from tests.processes import FAKE

TIMES, WEBS = 10, 2
TEXT = "test [MASK]"


async def flood(urls: list[str], headers: dict[str, str], seconds: float, per_second: float) -> list[tuple[float, int]]:
    """Moments, from the first request, and statuses of all requests."""
    found: list[tuple[float, int]] = []
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    async with httpx.AsyncClient(trust_env=False, timeout=60, limits=limits) as http, asyncio.TaskGroup() as group:
        began = time.monotonic()

        async def ask(url: str) -> None:
            at = time.monotonic() - began
            reply = await http.post(url, content=TEXT, headers=headers)
            found.append((at, reply.status_code))

        for number in range(int(seconds * per_second)):
            await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
            group.create_task(ask(urls[number % len(urls)]))
    return found


def measured(seconds: float, per_minute: int, *, without_redis: bool) -> dict[str, Any]:
    env, database = FAKE | {"INFERENCE_ACCESS": "keys"}, processes.new_database()
    headers = {"authorization": f"Bearer {_new_key(database, per_minute)}"}
    with ExitStack() as stack:
        redis = stack.enter_context(processes.redis_server())
        stack.enter_context(processes.worker(redis, env))
        webs = [stack.enter_context(processes.web(redis, env, database=database)) for _ in range(WEBS)]
        time.sleep(2)  # they know of each other
        if without_redis:
            redis.kill()
            headers["x-request-timeout-seconds"] = "0.05"
        try:
            time.sleep(2 if without_redis else 0)
            found = asyncio.run(flood([web.url for web in webs], headers, seconds, TIMES * per_minute / 60))
        finally:
            if without_redis:
                redis.start()
                redis.wait_until_ready()
    statuses = Counter(status for _, status in found)
    let_in = sorted(at for at, status in found if status != 429)
    in_a_minute = max((sum(first <= at < first + 60 for at in let_in) for first in let_in), default=0)
    return {
        "requests": len(found),
        "statuses": dict(statuses),
        "limit": per_minute,
        "let_in": len(let_in),
        "most_in_60_s": in_a_minute,
        "over": in_a_minute - per_minute,
        "one_second_at_each": WEBS * TIMES * per_minute // 60,
        "last_let_in_of_the_first_minute_s": round(max((at for at in let_in if at < 30), default=0), 2),
    }


def _new_key(database: Path, per_minute: int) -> str:
    code = (
        "from inference.access.keys import make; from inference.models import ApiKey; key = make(); "
        "ApiKey.objects.create(owner='a', name='b', prefix=key.prefix, digest=key.digest, "
        f"requests_per_minute={per_minute}); print(key.key)"
    )
    command = [sys.executable, "manage.py", "shell", "--no-imports", "--command", code]
    made = subprocess.run(
        command, cwd=processes.ROOT, env=processes.environment(None, database), check=True, capture_output=True
    )
    return made.stdout.decode().strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--per-minute", type=int, default=600)
    parser.add_argument("--without-redis", action="store_true", help="kill Redis before the flood")
    options = parser.parse_args()
    found = measured(options.seconds, options.per_minute, without_redis=options.without_redis)
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return int(found["over"] > found["one_second_at_each"])


if __name__ == "__main__":
    sys.exit(main())
