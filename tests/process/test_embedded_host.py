import asyncio
import threading
from itertools import pairwise
from typing import Any, ClassVar

import pytest
from channels.layers import InMemoryChannelLayer

from inference import catalog, conf
from inference.errors import DeadlineExceeded
from inference.process.embedded_host import EmbeddedHost
from inference.process.web import WebProcess
from inference.serving.context import RequestContext
from inference.serving.query import Query
from inference.testing import FakePipeline
from inference.testing.backend import FakeBatchedPipeline
from tests import virtual_time


def hanging_pipeline(*_: object) -> FakeBatchedPipeline:
    """A pipeline that never comes back from a text with a certain word, and loses its device with another."""

    def answer(text: str, parameters: dict[str, Any]) -> int:
        if "endless" in text:
            threading.Event().wait()
        if "assert" in text:
            raise RuntimeError("CUDA error: device-side assert triggered")
        return len(text)

    return FakeBatchedPipeline(FakePipeline(answer=answer, mask_token=""))


class Failing:
    """In place of ``WorkerHost``: ready at once, and ends with an error after as many seconds as the test says."""

    was_ready, is_replaced = True, False
    lasts: ClassVar[list[float]] = []
    started: ClassVar[list[float]] = []

    def __init__(self, *_: object) -> None:
        self.ready_s = 0.0

    async def arun(self) -> None:
        self.started.append(asyncio.get_running_loop().time())
        if self.lasts:
            self.ready_s = self.lasts.pop(0)
            await asyncio.sleep(self.ready_s)
            raise ValueError


def test_hosts_that_fail_one_after_the_other_are_started_ever_later(
    monkeypatch: pytest.MonkeyPatch,
):
    """But not one that has run well for a while."""
    monkeypatch.setattr("inference.process.embedded_host.WorkerHost", Failing)
    lasts = [0.0, 5.0, 60.0, 61.0, 0.0, 3600.0]
    monkeypatch.setattr(Failing, "lasts", [*lasts])
    monkeypatch.setattr(Failing, "started", [])

    settings = conf.Conf()
    embedded = EmbeddedHost(InMemoryChannelLayer(), settings, catalog.of(settings), pytest.fail)
    virtual_time.run(embedded.supervise(), limit_s=10_000)
    between = [later - earlier for earlier, later in pairwise(Failing.started)]
    assert [pause - lasted for pause, lasted in zip(between, lasts, strict=True)] == [1, 2, 4, 1, 2, 1]


async def test_an_embedded_host_whose_model_hangs_is_replaced(settings: Any, monkeypatch: pytest.MonkeyPatch):
    """Rule 9: a new host with a new thread; who waited is answered, and the input that hangs gets its 504."""
    settings.INFERENCE = conf.Conf(deadline_s=3)
    settings.ASGI_APPLICATION = "of.another.project"
    monkeypatch.setattr("inference.process.embedded_host.load", hanging_pipeline)
    monkeypatch.setattr("inference.process.embedded_host.RESTART_FIRST_S", 0.1)
    process = WebProcess(pytest.fail, log_requests=False)
    process.start()

    async def ask(text: str, deadline_s: float) -> list[Any]:
        query = Query(inputs=[text], many=False, deadline_s=deadline_s)
        return (await process.service.answer(RequestContext(transport="python"), lambda: query)).outputs

    assert await ask("first", 20) == [b"5"]
    embedded = process.embedded_host
    assert embedded is not None
    first = embedded._host
    hanging = asyncio.create_task(ask("endless", 2.5))
    await asyncio.sleep(0.1)
    assert await ask("after", 20) == [b"5"]
    with pytest.raises(DeadlineExceeded):
        await hanging
    assert embedded._host is not None
    assert embedded._host is not first
    assert first is not None
    assert 0 < embedded._host.ready_s < first.ready_s
    assert process.service.pending_inputs == 0
    await process.drain()


async def test_a_process_that_has_lost_its_device_ends(settings: Any, monkeypatch: pytest.MonkeyPatch):
    """No new host in this process could load a model."""
    settings.INFERENCE = conf.Conf()
    settings.ASGI_APPLICATION = "of.another.project"
    monkeypatch.setattr("inference.process.embedded_host.load", hanging_pipeline)
    said: list[str] = []
    process = WebProcess(said.append, log_requests=False)
    process.start()
    request = RequestContext(transport="python")
    query = Query(inputs=["assert"], many=False, deadline_s=3)
    asking = asyncio.create_task(process.service.answer(request, lambda: query))
    assert process.embedded_host is not None
    assert process.embedded_host._supervisor is not None
    await asyncio.wait_for(process.embedded_host._supervisor, 20)
    assert said == [
        "The device is lost to this process, which must be started again (CUDA error: device-side assert triggered)."
    ]
    with pytest.raises(DeadlineExceeded):
        await asking
    process.embedded_host = None
    await process.drain()


async def test_after_a_drain_the_host_has_no_threads():
    """Python ends next, and would abort under one that is in native code."""
    settings = conf.Conf(backend="inference.testing.backend")
    embedded = EmbeddedHost(InMemoryChannelLayer(), settings, catalog.of(settings), pytest.fail)
    before = set(threading.enumerate())
    embedded.start()
    while embedded._host is None or not embedded._host.was_ready:  # noqa: ASYNC110 - a flag
        await asyncio.sleep(0.01)
    assert set(threading.enumerate()) > before
    await embedded.drain(1)
    assert set(threading.enumerate()) <= before
