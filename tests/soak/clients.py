"""Clients of both protocols: every request that they send is in the ledger, whatever becomes of it."""

import asyncio
import json
import random
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

import httpx
from websockets import ClientConnection, connect
from websockets.exceptions import WebSocketException

from inference.access.keys import prefix_of
from tests.conftest import STORY
from tests.processes import Web
from tests.soak import keys
from tests.soak.catalog import PIPELINES, TORN_PIPELINE
from tests.soak.ledger import MARK, Entry, Ledger, Outcome

ADDRESSES = [f"127.0.0.{last}" for last in range(2, 10)]
"""Clients come from several: the server may tell them apart."""
PARAMETERS = {"top_k": 2}
GRACE_S = 5.0
"""On top of the deadline, for a busy machine; after that a request counts as hung."""
LONG_DEADLINE_S = 120.0
"""Of inputs that are to fail: what they come to is not to be 504. A server allows no more."""
RECONNECTING = "127.0.0.10"
MOST_TRIES = 20
SHORT_TEXT, LONG_TEXT = (2, 20), (60, 100)
"""Words."""
LISTS, LENGTHS = 0.2, (2, 6)
SOCKETS = 0.4
"""Shares of requests with several inputs (so many), and of those that go through a WebSocket."""
INPUTS_OF_A_REQUEST = 1 - LISTS + LISTS * sum(LENGTHS) / 2
UNNAMED = 0.5
"""Share of the requests to the default pipeline that do not name it."""


class Socket:
    """One WebSocket connection with many requests on it; a new one is opened when it has ended."""

    def __init__(self, address: str, key: str) -> None:
        self.key = key
        self._address = address
        self._connection: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._open: dict[str, tuple[Entry, asyncio.Event]] = {}
        self._closed: dict[str, Entry] = {}
        self._connecting = asyncio.Lock()

    async def connect(self, webs: Sequence[Web]) -> None:
        """To the first web process that takes connections. Raises ``OSError`` if none does."""
        async with self._connecting:
            if self._connection is not None:
                return
            for web in webs:
                with suppress(OSError, WebSocketException):
                    self._connection = await connect(
                        web.socket_url,
                        proxy=None,
                        max_queue=None,
                        local_addr=(self._address, 0),
                        additional_headers=keys.header(self.key),
                    )
                    self._reader = asyncio.create_task(self._read(self._connection))
                    return
            raise ConnectionError("no web process takes connections")

    async def infer(self, entry: Entry, *, stay_s: float | None) -> None:
        """``stay_s``: how long the client waits before it cancels."""
        client_id, done = str(entry.number), asyncio.Event()
        self._open[client_id] = entry, done
        frame = {"type": "infer", "id": client_id, "inputs": entry.inputs, "parameters": PARAMETERS}
        named = {"pipeline": entry.pipeline} if entry.named else {}
        await self._say(frame | named | {"timeout_s": entry.deadline_s})
        if stay_s is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(stay_s):
                    await done.wait()
            if not done.is_set():
                entry.outcome, entry.cancelled = Outcome.CUT, True
                await self._say({"type": "cancel", "id": client_id})
        async with asyncio.timeout(entry.deadline_s + GRACE_S):
            await done.wait()

    async def cut(self) -> None:
        """Go away without a word to the requests that are open."""
        for entry, _ in self._open.values():
            entry.outcome = Outcome.CUT
        if self._connection is not None:
            self._connection.transport.abort()

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
        if self._reader is not None:
            await self._reader

    async def _say(self, frame: dict[str, Any]) -> None:
        with suppress(WebSocketException):  # the reader sees its end too
            if self._connection is not None:
                await self._connection.send(json.dumps(frame))

    async def _read(self, connection: ClientConnection) -> None:
        with suppress(WebSocketException):
            async for text in connection:
                self._take(json.loads(text))
        self._connection = None
        for entry, done in self._open.values():
            if entry.outcome is Outcome.HUNG:
                entry.outcome = Outcome.UNANSWERED
            done.set()
        self._open.clear()

    def _take(self, frame: dict[str, Any]) -> None:
        client_id = frame.get("id", "")
        entry = self._open[client_id][0] if client_id in self._open else self._closed.get(client_id)
        assert entry is not None, f"a frame about nothing that was asked: {frame}"
        entry.request_id = frame.get("request_id", entry.request_id)
        entry.served_by = frame.get("pipeline", entry.served_by)
        if frame["type"] not in ("result", "error"):
            return
        if client_id not in self._open and entry.cancelled and frame.get("code") == "validation":
            entry.late_cancels += 1
            return
        entry.answers += 1
        if client_id not in self._open:
            return
        _, done = self._open.pop(client_id)
        self._closed[client_id] = entry
        if frame["type"] == "result":
            entry.take_outputs(frame["output"])
        elif frame["code"] == "cancelled" and entry.outcome is Outcome.CUT:
            pass
        else:
            entry.take_error(frame["code"])
        done.set()


class Clients:
    """Sends unique inputs from several addresses over both protocols."""

    def __init__(
        self,
        webs: Sequence[Web],
        ledger: Ledger,
        chance: random.Random,
        deadline_s: float,
        own_keys: Sequence[str] = (),
    ) -> None:
        self._webs = list(webs)
        self._reconnecting_key, *self._keys = own_keys if len(own_keys) > 1 else ["", ""]
        """The first one is that of the client that connects anew, which is to have its own turns."""
        self._ledger = ledger
        self._chance = chance
        self._deadline_s = deadline_s
        self._http = [
            httpx.AsyncClient(
                transport=httpx.AsyncHTTPTransport(local_address=address),
                trust_env=False,
                timeout=LONG_DEADLINE_S + GRACE_S,
            )
            for address in ADDRESSES
        ]
        self._sockets = [
            Socket(address, self._keys[number % len(self._keys)]) for number, address in enumerate(ADDRESSES)
        ]
        self._under_way: set[asyncio.Task[Entry]] = set()

    async def load(
        self,
        phase: str,
        rate_per_s: float,
        *,
        stay_s: float | None = None,
        pipelines: Sequence[str] = PIPELINES,
    ) -> None:
        """Send at random moments, whatever the servers do, until cancelled. ``stay_s``: some clients leave by then."""
        while True:
            await asyncio.sleep(self._chance.expovariate(rate_per_s))
            leaves = stay_s is not None and self._chance.random() < 0.3
            stays_s = self._chance.uniform(0, stay_s) if leaves and stay_s else None
            self._start(self.send(phase, stay_s=stays_s, pipeline=self._chance.choice(pipelines)))

    def _start(self, request: Coroutine[Any, Any, Entry]) -> None:
        task = asyncio.create_task(request)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def measure_capacity(self, connections: int, seconds: float) -> float:
        """Requests of the steady load that all workers together answer in a second."""
        before = len(self._ledger.entries)
        await self.crowd("capacity", connections, seconds, self._deadline_s, seconds, words=SHORT_TEXT)
        right = sum(entry.outcome is Outcome.RIGHT for entry in self._ledger.entries[before:])
        return right / seconds / INPUTS_OF_A_REQUEST

    async def reconnecting(self, phase: str, times: int, deadline_s: float) -> list[tuple[Entry, int]]:
        """A client of its own that connects anew for each request, and comes back when it is told to.

        Returns the requests that were not refused, and how often each had been before.
        """
        found = []
        for _ in range(times):
            pipeline = self._chance.choice(PIPELINES)
            for refused in range(MOST_TRIES):  # noqa: B007 - how often it was, in the end
                text = self._text(len(self._ledger.entries) + 1, 0, None)
                entry = self._new(phase, pipeline, [text], "http", deadline_s)
                no_keep_alive = httpx.Limits(max_keepalive_connections=0)
                transport = httpx.AsyncHTTPTransport(local_address=RECONNECTING, limits=no_keep_alive)
                async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=LONG_DEADLINE_S) as http:
                    await self._post(http, self._webs, entry, None, self._reconnecting_key)
                if entry.outcome is not Outcome.REFUSED:
                    break
                await asyncio.sleep(entry.retry_after_s)
            found.append((entry, refused))
        return found

    async def crowd(
        self,
        phase: str,
        connections: int,
        seconds: float,
        deadline_s: float,
        pause_s: float,
        pipelines: Sequence[str] = PIPELINES,
        words: tuple[int, int] = LONG_TEXT,
    ) -> None:
        """Each asks again as soon as it is answered, and some time after a refusal; with long texts, or this process
        would be busier than the servers."""
        clock = asyncio.get_running_loop().time
        end = clock() + seconds

        async def one(number: int) -> None:
            await asyncio.sleep(self._chance.uniform(0, pause_s))
            while clock() < end:
                text = self._text(len(self._ledger.entries) + 1, 0, None, words)
                entry = self._new(phase, self._chance.choice(pipelines), [text], "http", deadline_s)
                began = clock()
                await self._post(self._http[number % len(self._http)], [self._webs[number % 2]], entry, None)
                entry.seconds = clock() - began
                if entry.outcome is Outcome.REFUSED:
                    await asyncio.sleep(pause_s)

        async with asyncio.TaskGroup() as clients:
            for number in range(connections):
                clients.create_task(one(number))

    def any_pipeline(self) -> str:
        """One that is served."""
        return self._chance.choice(PIPELINES)

    def _new(
        self,
        phase: str,
        pipeline: str,
        inputs: list[str],
        transport: str,
        deadline_s: float,
        *,
        special: bool = False,
    ) -> Entry:
        number = len(self._ledger.entries) + 1
        entry = Entry(number, phase, pipeline, transport, inputs, deadline_s, special=special)
        entry.named = pipeline != PIPELINES[0] or self._chance.random() >= UNNAMED
        self._ledger.entries.append(entry)
        return entry

    async def send(
        self,
        phase: str,
        word: str | None = None,
        *,
        pipeline: str,
        single: bool = False,
        stay_s: float | None = None,
    ) -> Entry:
        """Send one request; with a ``word`` in its first input if it is to fail."""
        chance = self._chance
        many = not single and word is None and chance.random() < LISTS
        number = len(self._ledger.entries) + 1
        inputs = [self._text(number, place, word) for place in range(chance.randint(*LENGTHS) if many else 1)]
        transport = "websocket" if chance.random() < SOCKETS else "http"
        deadline_s = self._deadline_s if word is None else LONG_DEADLINE_S
        special = word is not None or pipeline == TORN_PIPELINE
        entry = self._new(phase, pipeline, inputs, transport, deadline_s, special=special)
        webs = chance.sample(self._webs, len(self._webs))
        client = chance.randrange(len(ADDRESSES))
        clock = asyncio.get_running_loop().time
        began = clock()
        with suppress(TimeoutError):  # it stays hung
            if transport == "http":
                await self._post(self._http[client], webs, entry, stay_s)
            else:
                await self._through_socket(self._sockets[client], webs, entry, stay_s)
        entry.seconds = clock() - began
        return entry

    async def all_answered(self) -> None:
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def cut_a_socket(self) -> None:
        await self._chance.choice(self._sockets).cut()

    async def close(self) -> None:
        for client in self._http:
            await client.aclose()
        for socket in self._sockets:
            await socket.close()

    def _text(self, number: int, place: int, word: str | None, words_in_it: tuple[int, int] = SHORT_TEXT) -> str:
        words = [*self._chance.choices(STORY.split(), k=self._chance.randint(*words_in_it)), "[MASK]"]
        if word is not None and place == 0:
            words.append(word)
        self._chance.shuffle(words)
        return f"{MARK} {number} {place} {' '.join(words)}"

    async def _through_socket(self, socket: Socket, webs: Sequence[Web], entry: Entry, stay_s: float | None) -> None:
        try:
            entry.key = prefix_of(socket.key) or ""
            await socket.connect(webs)
        except OSError:
            entry.outcome = Outcome.UNANSWERED
            return
        await socket.infer(entry, stay_s=stay_s)

    async def _post(
        self, http: httpx.AsyncClient, webs: Sequence[Web], entry: Entry, stay_s: float | None, key: str | None = None
    ) -> None:
        key = self._chance.choice(self._keys) if key is None else key
        entry.key = prefix_of(key) or ""
        inputs = entry.inputs if len(entry.inputs) > 1 else entry.inputs[0]
        headers = {"x-request-timeout-seconds": str(entry.deadline_s)} | keys.header(key)
        path = f"/pipelines/{entry.pipeline}" if entry.named else ""
        for web in webs:
            try:
                async with asyncio.timeout(stay_s if stay_s is not None else entry.deadline_s + GRACE_S):
                    body = {"inputs": inputs, "parameters": PARAMETERS}
                    reply = await http.post(web.url + path, json=body, headers=headers)
            except httpx.ConnectError:
                continue  # as a load balancer would
            except httpx.TransportError:
                entry.outcome = Outcome.UNANSWERED
                return
            except TimeoutError:
                entry.outcome = Outcome.HUNG if stay_s is None else Outcome.CUT
                return
            _take_reply(entry, reply)
            return
        entry.outcome = Outcome.UNANSWERED


def _take_reply(entry: Entry, reply: httpx.Response) -> None:
    entry.answers += 1
    entry.request_id = reply.headers.get("x-request-id", "")
    entry.served_by = reply.headers.get("x-pipeline", "")
    if reply.status_code == 200:
        outputs = reply.json()
        entry.take_outputs(outputs if len(entry.inputs) > 1 else [outputs])
    else:
        entry.take_error(reply.json().get("error_type", str(reply.status_code)))
        entry.retry_after_s = float(reply.headers.get("retry-after", 0))
