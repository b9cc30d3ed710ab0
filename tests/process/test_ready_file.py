"""The file that probes look for."""

import asyncio
from pathlib import Path

import pytest

from inference.messaging.cancellation import cancel_and_wait
from inference.process import ready_file


async def test_it_is_there_while_the_worker_can_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ready_file, "PERIOD_S", 0.001)
    path = tmp_path / "ready"
    path.touch()  # an earlier process was killed
    ready = False

    async def until(there: bool) -> None:
        while path.exists() is not there:  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    task = asyncio.create_task(ready_file.keep(path, lambda: ready))
    async with asyncio.timeout(60):
        await until(False)
        ready = True
        await until(True)
        ready = False
        await until(False)
        ready = True
        await until(True)
        await cancel_and_wait([task])
    assert not path.exists()
