"""From the keys that a request offers to who asks; and the end of what is under way when a key works no more."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from inference.access.credentials import Keys
from inference.access.key_reader import KeyReader
from inference.access.key_table import KeyTable
from inference.access.open_work import KeyUse, OpenWork
from inference.access.principal import ANYONE, Principal
from inference.access.wrong_keys import MOST_WRONG, WrongKeys
from inference.conf import Conf
from inference.errors import Forbidden, InferenceError, Loading, Unauthorized
from inference.polling.stamp_poll import Reader, StampPoll

logger = logging.getLogger(__name__)

EXPIRY_CHECK_S = 0.5
LONGEST_ADDRESS = 64
"""Characters that are kept of one: behind a proxy, it is the proxy's word."""
NO_KEY = "This server wants a key; send it as 'Authorization: Bearer inf_…' or 'x-api-key: inf_…'."
NOT_A_KEY = "This key is unknown, was revoked, or has expired."
TWO_KEYS = "The request has two different keys; send one."
NOT_READ = "The keys have not been read from the database yet; try again in 1 s."
ENDED = "The key was revoked or has expired."
NO_MANAGER = "This key may not manage the server; it needs the scope 'manage'."

Caller = Principal | InferenceError
"""Who asks, or why that is not known."""


class Access:
    """One per web process; lives on the event loop of its service."""

    def __init__(self, conf: Conf, clock: Callable[[], float] = time.time) -> None:
        """Args: the clock gives seconds since the epoch."""
        self.required = conf.access == "keys"
        """Whether callers need a key."""
        self.table = KeyTable()
        self._manages_by_key = conf.metrics_access == "key"
        self._clock = clock
        self._open = OpenWork()
        self._wrong = WrongKeys()
        self._reader: KeyReader | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # Requests

    def caller(self, offered: Keys, address: Callable[[], str]) -> Caller:
        """Who asks; ``ANYONE`` where no key is wanted.

        Args:
            address: gives that of the client, whose wrong keys are counted.
        """
        return self.identified(offered, address) if self.required else ANYONE

    def manager(self, offered: Keys, address: Callable[[], str]) -> Caller:
        """Who asks, if the key may manage the server; also where callers need none."""
        caller = self.identified(offered, address)
        return Forbidden(NO_MANAGER) if isinstance(caller, Principal) and not caller.manages else caller

    def identified(self, offered: Keys, address: Callable[[], str]) -> Caller:
        """Whose key this is, whether or not a key is wanted."""
        if not self.table.loaded:
            return Loading(NOT_READ, retry_after_s=1)
        if len(offered) != 1:
            return Unauthorized(TWO_KEYS if offered else NO_KEY)
        (key,) = offered
        return self.table.find(key, self._clock()) or self._wrong_key(address())

    def knows(self, offered: Keys) -> bool:
        """Whether this is a key that works; a wrong one is not counted."""
        return len(offered) == 1 and self.table.find(next(iter(offered)), self._clock()) is not None

    def _wrong_key(self, address: str) -> InferenceError:
        now, address = time.monotonic(), address[:LONGEST_ADDRESS]
        wrong = self._wrong.count(address, now)
        if wrong <= MOST_WRONG:
            return Unauthorized(NOT_A_KEY)
        if wrong == MOST_WRONG + 1:
            logger.warning("More than %d wrong keys came from %s in a minute; it has to wait", MOST_WRONG, address)
        return self._wrong.refusal(address, now)

    def current(self, principal: Principal) -> Principal | None:
        """What a caller that was identified before may do now; ``None`` if the key works no more."""
        return self.table.current(principal.key, self._clock()) if principal.key else principal

    def use(self, principal: Principal, stop: Callable[[], object]) -> KeyUse | None:
        """Note that something is under way; end it with ``KeyUse.end``. ``None`` without a key.

        Args:
            stop: called once if the key ceases to work before that; ``KeyUse.error`` says what to tell the client.

        Raises:
            Unauthorized: the key works no more.
        """
        if not principal.key:
            return None
        if self.current(principal) is None:
            raise Unauthorized(ENDED)
        return self._open.add(principal.key, stop)

    @property
    def unready(self) -> str:
        """Why nobody can be identified; empty if that is possible, or not needed."""
        return NOT_READ if self.required and not self.table.loaded else ""

    # Process

    @property
    def reads_keys(self) -> bool:
        """Whether anybody needs one."""
        return self.required or self._manages_by_key

    def start(self, poll: StampPoll) -> None:
        """Read the keys, if any are wanted. Call once, on the event loop of the service."""
        if not self.reads_keys:
            return
        self._loop = asyncio.get_running_loop()
        self._reader = KeyReader(self.table, self._keys_changed)
        poll.add(Reader(self._reader.read, self._reader.unread))
        self._reader.writing.start()
        self._check_expiry()

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._reader is not None:
            await self._reader.writing.stop()

    def _keys_changed(self) -> None:
        """Called on the reader's thread."""
        assert self._loop is not None  # noqa: S101 - it was started
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self.stop_ended)

    def _check_expiry(self) -> None:
        self.stop_ended()
        assert self._loop is not None  # noqa: S101
        self._timer = self._loop.call_later(EXPIRY_CHECK_S, self._check_expiry)

    def stop_ended(self) -> None:
        """Stop what is under way with keys that work no more."""
        now = self._clock()
        for key in self._open:
            if self.table.current(key, now) is None:
                self._open.stop(key, Unauthorized(ENDED))
