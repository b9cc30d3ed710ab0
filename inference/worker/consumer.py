"""The worker consumer: messages of the channel layer become calls of the host's intake."""

import logging
from typing import Any

from channels.consumer import AsyncConsumer
from channels.utils import await_many_dispatch

from inference.messaging.codec import UnknownMessage, decode
from inference.messaging.messages import Cancel, Go, Hello, Submit, Want
from inference.worker.intake import Intake

logger = logging.getLogger(__name__)

MOST_REPORTED = 1000
"""Different unreadable messages that are logged; further ones are ignored silently."""


class WorkerConsumer(AsyncConsumer):
    """Calls ``scope["intake"]``.

    It takes no channel of its own, and its dispatch never raises: an exception in a Channels consumer drops
    everything that is queued behind it.
    """

    intake: Intake
    _reported: set[str]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        self.intake = scope["intake"]
        self._reported = set()
        await await_many_dispatch([receive], self.dispatch)

    async def dispatch(self, message: Any) -> None:
        # Without AsyncConsumer's aclose_old_connections(): a thread hop per message that one slow query would block.
        try:
            self._handle(message)
        except UnknownMessage as error:
            if str(error) not in self._reported and len(self._reported) < MOST_REPORTED:
                self._reported.add(str(error))
                logger.warning("Ignored: %s", error)
        except Exception:
            logger.exception("A message of type %s could not be handled", message.get("type"))

    def _handle(self, message: Any) -> None:
        match decode(message):
            case Hello() as hello:
                self.intake.hello(hello)
            case Want() as want:
                self.intake.want(want)
            case Submit() as submit:
                self.intake.submit(submit)
            case Cancel() as cancel:
                self.intake.cancel(cancel)
            case Go() as go:
                self.intake.go(go)
            case other:
                raise UnknownMessage(f"{type(other).__name__} is for web processes")
