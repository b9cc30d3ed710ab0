"""A web process with a fake pipeline, for the time of a ``with`` block."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import replace
from typing import Any
from unittest import mock

from django.conf import settings
from django.test import override_settings

from inference import catalog, conf
from inference.messaging import layer_settings
from inference.process import web
from inference.process.web import WebProcess
from inference.process.web_thread import WebProcessThread
from inference.scheduling.admission import Admission
from inference.testing import backend
from inference.testing.fake_pipeline import FakePipeline

READY_S = 10.0
DRAIN_S = 1.0
"""How long the end of the block waits for requests without an answer."""


@contextmanager
def running(fake: FakePipeline, pipelines: Mapping[str, FakePipeline] | None = None) -> Iterator[FakePipeline]:
    """Serve with this pipeline in this process: ``infer`` and its kin, HTTP and WebSocket. No key is wanted.

    The event loop of the service is on a thread of its own. Its channel layer is in memory, whatever the settings say;
    nothing is written to the database. At the end of the block, all threads have ended.

    Args:
        pipelines: by name, those that have a fake of their own; all others of the project's catalog are this one.

    Raises:
        RuntimeError: this process serves already, or its settings contradict each other.
    """
    if web.current() is not None:
        raise RuntimeError("This process serves a pipeline already; only one can run at a time.")
    tables, fakes = _tables(fake, pipelines or {})
    with ExitStack() as stack:
        stack.enter_context(override_settings(**_settings(fake, tables)))
        stack.enter_context(backend.using(fakes))
        background = WebProcessThread(_fail, log_requests=False)
        process = background.start()
        stack.callback(background.stop)
        for each in fakes.values():
            stack.callback(each.stopping.set)
        stack.enter_context(_errors(process, fakes))
        _wait_until_ready(process)
        yield fake


def _tables(
    fake: FakePipeline, named: Mapping[str, FakePipeline]
) -> tuple[dict[str, dict[str, Any]], dict[str, FakePipeline]]:
    """A catalog like the project's, none if that has one pipeline only, and the fakes by the names of their models."""
    current = catalog.current()
    if not named and len(current) == 1 and not current.default.where:
        return {}, {fake.description.model: fake}
    fakes = {spec.name: named.get(spec.name, fake) for spec in current} | dict(named)
    aliases = {spec.name: list(spec.aliases) for spec in current}
    tables = {
        name: {"task": each.description.task, "model": name, "aliases": aliases.get(name, [])}
        for name, each in fakes.items()
    }
    return tables, fakes


def _settings(fake: FakePipeline, tables: dict[str, dict[str, Any]]) -> dict[str, Any]:
    description = fake.description
    current = conf.current()
    changed = replace(
        current,
        pipelines=tables or "",
        backend=backend.__name__,
        model=description.model,
        task=description.task,
        drain_s=DRAIN_S,
        access="open",
        metrics_access="open",
    )
    layer = layer_settings.in_memory(expiry_s=int(current.max_deadline_s) + 10)
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    return {"INFERENCE": changed, "CHANNEL_LAYERS": {**layers, current.channel_layer: layer}}


def _fail(sentence: str) -> None:
    raise RuntimeError(sentence)


@contextmanager
def _errors(process: WebProcess, fakes: Mapping[str, FakePipeline]) -> Iterator[None]:
    """Raise the ``error`` of a fake where admission raises its own."""
    check = Admission.check
    by_admission = {
        process.service.admission(spec.name): fakes.get(spec.name) or next(iter(fakes.values()))
        for spec in process.service.catalog
    }

    def checked(admission: Admission, *args: Any, **kwargs: Any) -> None:
        error = by_admission[admission].error
        if error is not None:
            raise copy(error)
        check(admission, *args, **kwargs)

    with mock.patch.object(Admission, "check", checked):
        yield


def _wait_until_ready(process: WebProcess) -> None:
    deadline_at = process.loop.time() + READY_S
    for name in process.service.catalog.names:
        description = process.dispatcher.description(deadline_at, name)
        asyncio.run_coroutine_threadsafe(description, process.loop).result()
