"""``manage.py pipelines``: what is served where, in which version; and orders to load, unload, reload and drain."""

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
from django.core.management.base import BaseCommand, CommandError, CommandParser

from inference import catalog
from inference.control import orders
from inference.messaging import layer
from inference.process.observer import observe
from inference.serving.pipeline_state import PipelineState

URL = "http://127.0.0.1:8000"
ASKING_S = 5.0
COLUMNS = ("NAME", "TASK", "MODEL", "VERSION", "STATE", "HOSTS", "QUEUE", "JOBS/S")


ORDERS = {
    "load": "load a pipeline that was unloaded or could not be loaded",
    "unload": "free its memory; requests are refused until it is loaded again",
    "reload": "read its model again, without a gap",
}


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
        actions = parser.add_subparsers(dest="action", parser_class=CommandParser)
        for action, words in ORDERS.items():
            order = actions.add_parser(action, help=words)
            order.add_argument("name", help="the pipeline's name or alias")
            if action == "reload":
                order.add_argument("--unload-first", action="store_true", help="where the memory is too small for two")
        drain = actions.add_parser("drain", help="let a host finish what it has begun, and start again")
        drain.add_argument("host", help="its id, which --json shows")

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            self._handle(options)
        except orders.Impossible as error:
            raise CommandError(str(error)) from error

    def _handle(self, options: dict[str, Any]) -> None:
        match options["action"]:
            case "load" | "unload" as action:
                getattr(orders, action)(options["name"])
            case "reload":
                orders.reload(options["name"], unload_first=options["unload_first"])
            case "drain":
                _check_host(options["host"], options["url"])
                orders.drain(options["host"])
            case _:
                self._list(options)
                return
        self.stdout.write("Ordered; `manage.py pipelines` shows what has become of it.")

    def _list(self, options: dict[str, Any]) -> None:
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


def _check_host(host: str, url: str | None) -> None:
    """Raises ``CommandError`` if there is no such host, as far as that can be seen."""
    try:
        with _quiet():
            known = {each for state in _states(url) for each in state.hosts}
    except CommandError:
        return  # a server may want a key
    if known and host not in known:
        raise CommandError(f"There is no host {host[:60]!r} now; there are {', '.join(sorted(known))}.")


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
