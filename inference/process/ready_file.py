"""A file that is there while a worker process can serve, for probes that run a command (Kubernetes, Compose)."""

import asyncio
from collections.abc import Callable
from pathlib import Path

PERIOD_S = 0.5


async def keep(path: Path, is_ready: Callable[[], bool]) -> None:
    """Until it is cancelled. Raises ``OSError`` where the file cannot be made."""
    there = True  # one that an earlier process has left
    try:
        while True:
            if is_ready() != there:
                there = not there
                _show(path, there=there)
            await asyncio.sleep(PERIOD_S)
    finally:
        _show(path, there=False)


def _show(path: Path, *, there: bool) -> None:
    if there:
        path.touch()
    else:
        path.unlink(missing_ok=True)
