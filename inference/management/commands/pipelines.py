"""``manage.py pipelines``: what is served where, in which version."""

import asyncio
import logging
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import msgspec
from channels.layers import InMemoryChannelLayer
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from inference import catalog
from inference.messaging import layer
from inference.process.observer import observe
from inference.serving.pipeline_state import PipelineState

URL = "http://127.0.0.1:8000"
ASKING_S = 5.0
COLUMNS = ("NAME", "TASK", "MODEL", "VERSION", "STATE", "HOSTS", "QUEUE", "JOBS/S")


class Answer(msgspec.Struct):
    """Of ``/info``."""

    pipelines: list[PipelineState]


class Command(BaseCommand):
    help = (
        "Lists the pipelines: name, task, model, version, state, hosts, jobs that wait at workers, and their speed. "
        "With a channel layer between processes it asks the hosts themselves, otherwise a running server."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", help=f"ask the server at this address; without Redis the default is {URL}")
        parser.add_argument("--json", action="store_true", help="as JSON")

    def handle(self, *_: Any, **options: Any) -> None:
        with _quiet():
            states = _states(options["url"])
        if options["json"]:
            self.stdout.write(msgspec.json.encode(states).decode())
            return
        for row in table([COLUMNS, *map(_row, states)]):
            self.stdout.write(row)
        for state in states:
            if state.reason:
                self.stdout.write(f"{state.name}: {state.reason}")


@contextmanager
def _quiet() -> Iterator[None]:
    """The table says what the log would say of each worker."""
    ours = logging.getLogger("inference")
    level = ours.level
    ours.setLevel(logging.ERROR)
    try:
        yield
    finally:
        ours.setLevel(level)


def _states(url: str | None) -> list[PipelineState]:
    shared = layer.configured()
    if url is None and shared is not None and not isinstance(shared, InMemoryChannelLayer):
        try:
            return asyncio.run(observe(shared, catalog.current()))
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        except ConnectionError as error:
            raise CommandError(f"There is nothing to see: {error}; is Redis up, and REDIS_URL right?") from error
    url = (url or URL).rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise CommandError(f"--url is {url!r}; it must be like {URL}.")
    try:
        with urlopen(f"{url}/info", timeout=ASKING_S) as answer:  # noqa: S310 - checked above
            return msgspec.json.decode(answer.read(), type=Answer).pipelines
    except (URLError, OSError, msgspec.MsgspecError) as error:
        raise CommandError(f"{url}/info does not answer ({error}); name a running server with --url.") from error


def _row(state: PipelineState) -> Sequence[str]:
    return (
        state.name,
        state.task or "-",
        state.model or "-",
        state.version or "-",
        state.state,
        str(len(state.hosts)),
        str(state.queue),
        f"{state.jobs_per_second:g}" if state.jobs_per_second else "-",
    )


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, with columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
