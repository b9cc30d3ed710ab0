"""One snapshot a second for all open live pages: made once, encoded once, and sent as far as it has changed."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol
from weakref import WeakKeyDictionary, proxy

import msgspec
from django.db import DatabaseError

from inference.api.live import rows
from inference.api.live.rows import Rates, Row
from inference.api.staff import Permissions, permissions_of
from inference.serving.recent_errors import ErrorGroup
from inference.serving.service import Service

logger = logging.getLogger(__name__)

PERIOD_S = 1.0
SPREAD = 0.8
"""The pages get their frames spread over this part of the period: sent at once, those of many pages hold the loop."""
AT_ONCE = 5
"""Pages that get theirs at the same time: a millisecond's work."""
RATES_OVER_S = 10.0
CHECK_EVERY_S = 5.0
"""Whether the pages' sessions still have their permissions; one visit to the database for all of them."""

VIEW, SEES_INPUTS = "inference.view_live", "inference.view_inputs"
PERMISSIONS = (VIEW, SEES_INPUTS)

State = dict[str, list[Row]]
"""Rows by the section of the page."""


class LivePage(Protocol):
    """An open page. ``permissions`` are as its session had them when they were last looked up."""

    session_key: str
    permissions: Permissions
    knows_all: bool
    """It has had everything once, and needs only changes."""

    def say(self, frame: str) -> None: ...

    def lost_permission(self) -> None: ...


class LiveFeed:
    """One per service. It works only while pages are open."""

    def __init__(self, service: Service, clock: Callable[[], float] = time.monotonic) -> None:
        self._service = service
        self._clock = clock
        self._pages: dict[LivePage, None] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._outcomes: deque[tuple[float, dict[tuple[str, str], float]]] = deque()
        self._sent: dict[str, bytes] = {}
        """Sections as they were sent last."""
        self._groups: dict[tuple[int, str, str, str], ErrorGroup] = {}
        self._errors: tuple[int, list[Row], list[Row]] = (-1, [], [])
        """Number of those added, and their rows with messages and without."""
        self._encode = msgspec.json.Encoder().encode

    def __len__(self) -> int:
        """Pages that are open."""
        return len(self._pages)

    def state(self, *, messages: bool) -> State:
        """All rows as they are now; call on the service's loop."""
        state = self._shared_state()
        with_messages, without = self._error_rows()
        return state | {"errors": with_messages if messages else without}

    def join(self, page: LivePage) -> None:
        self._pages[page] = None
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._keep_checking())]

    def leave(self, page: LivePage) -> None:
        self._pages.pop(page, None)
        if not self._pages:
            for task in self._tasks:
                task.cancel()
            self._tasks.clear()
            self._outcomes.clear()
            self._sent.clear()

    async def _run(self) -> None:
        while True:
            next_at = self._clock() + PERIOD_S
            try:
                await self._send(self._frames())
            except Exception:
                logger.exception("The live pages got no snapshot")
            await asyncio.sleep(max(0.0, next_at - self._clock()))

    async def _send(self, frames: "Frames") -> None:
        groups = list(_grouped(self._pages, AT_ONCE))
        for group in groups:
            for page in group:
                if page in self._pages:  # it may have gone meanwhile
                    page.say(frames.of(page))
                    page.knows_all = True
            await asyncio.sleep(SPREAD * PERIOD_S / len(groups))

    def _frames(self) -> "Frames":
        self._note_outcomes()
        with_messages, without = self._error_rows()
        state: dict[str, list[Row]] = self._shared_state() | {"errors": without, "messages": with_messages}
        sections = {name: self._encode(found) for name, found in state.items()}
        changed = {name for name, section in sections.items() if section != self._sent.get(name)}
        self._sent = sections
        return Frames(sections, changed)

    def _shared_state(self) -> State:
        service, rates = self._service, self._rates()
        hosts = list(service.dispatcher.registry)
        return {
            "process": [rows.process_row(service)],
            "pipelines": [rows.pipeline_row(service, spec, rates) for spec in service.catalog],
            "workers": [rows.worker_row(worker) for host in hosts for worker in host.workers.values()],
            "hosts": [rows.host_row(host) for host in hosts],
        }

    def _error_rows(self) -> tuple[list[Row], list[Row]]:
        errors = self._service.recent_errors
        if errors.added != self._errors[0]:
            groups = self._groups_with_earlier()
            without = [rows.error_row(group) for group in groups]
            with_messages = [row | {"message": group.last.message} for row, group in zip(without, groups, strict=True)]
            self._errors = errors.added, with_messages, without
        return self._errors[1], self._errors[2]

    def _groups_with_earlier(self) -> list[ErrorGroup]:
        """With those that were shown before: under overload, the newest of a few seconds are all that is kept."""
        for group in reversed(self._service.recent_errors.groups(rows.MOST_ERRORS)):
            self._groups[group.key] = group.joined(self._groups.pop(group.key, None))
        newest = sorted(self._groups.values(), key=lambda group: group.last.at, reverse=True)[: rows.MOST_ERRORS]
        self._groups = {group.key: group for group in newest}
        return newest

    def _note_outcomes(self) -> None:
        now = self._clock()
        self._outcomes.append((now, self._service.metrics.outcomes()))
        while now - self._outcomes[0][0] > RATES_OVER_S:
            self._outcomes.popleft()

    def _rates(self) -> Rates | None:
        """Over the last seconds, as long as pages are open."""
        if len(self._outcomes) < 2:
            return None
        (began, before), (ended, after) = self._outcomes[0], self._outcomes[-1]
        return {key: (count - before.get(key, 0)) / (ended - began) for key, count in after.items()}

    # Permissions

    async def _keep_checking(self) -> None:
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            try:
                await self._check()
            except DatabaseError:
                pass  # while it is away, nobody can log out or lose a permission
            except Exception:  # of a driver or of another store of sessions; who loses a permission is found next time
                logger.exception("Permissions of the live pages could not be looked up")

    async def _check(self) -> None:
        found = await permissions_of({page.session_key for page in self._pages}, PERMISSIONS)
        for page in list(self._pages):
            permissions = found.get(page.session_key)
            if page.session_key not in found:  # it came meanwhile
                continue
            if permissions is None or VIEW not in permissions:
                page.lost_permission()
            elif permissions != page.permissions:
                page.permissions, page.knows_all = permissions, False


class Frames:
    """The texts of one second; pages that know everything get what has changed."""

    def __init__(self, sections: dict[str, bytes], changed: set[str]) -> None:
        self._sections, self._changed = sections, changed
        self._made: dict[tuple[bool, bool], str] = {}

    def of(self, page: LivePage) -> str:
        key = SEES_INPUTS in (page.permissions or ()), page.knows_all
        if key not in self._made:
            self._made[key] = self._make(messages=key[0], changes=key[1])
        return self._made[key]

    def _make(self, *, messages: bool, changes: bool) -> str:
        errors = "messages" if messages else "errors"
        shown = {name: name for name in self._sections if name not in ("errors", "messages")} | {"errors": errors}
        raw = {
            name: msgspec.Raw(self._sections[of]) for name, of in shown.items() if not changes or of in self._changed
        }
        return msgspec.json.encode(raw).decode()


def _grouped(pages: Iterable[LivePage], size: int) -> Iterator[list[LivePage]]:
    pages = list(pages)
    return (pages[start : start + size] for start in range(0, len(pages), size))


_feeds: "WeakKeyDictionary[Service, LiveFeed]" = WeakKeyDictionary()


def feed_of(service: Service) -> LiveFeed:
    """The one of this service."""
    if (feed := _feeds.get(service)) is None:
        feed = _feeds[service] = LiveFeed(proxy(service))  # which would not be freed otherwise
    return feed
