"""A web process with a fake pipeline, for the time of a ``with`` block."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import replace
from typing import Any
from unittest import mock

from django.conf import settings
from django.test import override_settings

from inference import conf
from inference.messaging import layer_settings
from inference.process import web
from inference.process.web import WebProcess
from inference.process.web_thread import WebProcessThread
from inference.testing import backend
from inference.testing.fake_pipeline import FakePipeline

READY_S = 10.0
DRAIN_S = 1.0
"""How long the end of the block waits for requests without an answer."""


@contextmanager
def running(fake: FakePipeline) -> Iterator[FakePipeline]:
    """Serve with this pipeline in this process: ``infer`` and its kin, HTTP and WebSocket.

    The event loop of the service is on a thread of its own. Its channel layer is in memory, whatever the settings say;
    nothing is written to the database. At the end of the block, all threads have ended.

    Raises:
        RuntimeError: this process serves already, or its settings contradict each other.
    """
    if web.current() is not None:
        raise RuntimeError("This process serves a pipeline already; only one can run at a time.")
    with ExitStack() as stack:
        stack.enter_context(override_settings(**_settings(fake)))
        stack.enter_context(backend.using(fake))
        background = WebProcessThread(_fail, log_requests=False)
        process = background.start()
        stack.callback(background.stop)
        stack.callback(fake.stopping.set)
        stack.enter_context(_errors(process, fake))
        _wait_until_ready(process)
        yield fake


def _settings(fake: FakePipeline) -> dict[str, Any]:
    description = fake.description
    current = conf.current()
    changed = replace(
        current, backend=backend.__name__, model=description.model, task=description.task, drain_s=DRAIN_S
    )
    layer = layer_settings.in_memory(expiry_s=int(current.max_deadline_s) + 10)
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    return {"INFERENCE": changed, "CHANNEL_LAYERS": {**layers, current.channel_layer: layer}}


def _fail(sentence: str) -> None:
    raise RuntimeError(sentence)


@contextmanager
def _errors(process: WebProcess, fake: FakePipeline) -> Iterator[None]:
    """Raise ``fake.error`` where admission raises its own."""
    admission = process.service.admission
    check = admission.check

    def checked(*args: Any, **kwargs: Any) -> None:
        if fake.error is not None:
            raise copy(fake.error)
        check(*args, **kwargs)

    with mock.patch.object(admission, "check", checked):
        yield


def _wait_until_ready(process: WebProcess) -> None:
    deadline_at = process.loop.time() + READY_S
    asyncio.run_coroutine_threadsafe(process.dispatcher.description(deadline_at), process.loop).result()
