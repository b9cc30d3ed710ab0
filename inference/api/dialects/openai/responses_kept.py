"""Conversations that a socket keeps for responses to come."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

from inference.api.dialects.openai.errors import InvalidField, PreviousResponseNotFound
from inference.api.dialects.openai.fields import shown

MOST_KEPT = 32
MOST_KEPT_BYTES = 8 * 2**20


class Conversation(NamedTuple):
    messages: Sequence[dict[str, Any]] = ()
    """Without instructions, which hold for one response only."""
    size: int = 0
    """About its bytes. Conversations that continue the same one count it once each."""


NOTHING = Conversation()


class KeptConversations:
    """By the id of their last response; those that were used last are kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Conversation] = OrderedDict()
        self._size = 0

    def keep(self, response_id: str, conversation: Conversation) -> None:
        """One that is larger than all may be is not kept."""
        if conversation.size > MOST_KEPT_BYTES:
            return
        self._kept[response_id] = conversation
        self._size += conversation.size
        while len(self._kept) > MOST_KEPT or self._size > MOST_KEPT_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._size -= oldest.size

    def drop(self, response_id: Any) -> None:
        if isinstance(response_id, str) and (dropped := self._kept.pop(response_id, None)) is not None:
            self._size -= dropped.size

    def before(self, response_id: Any) -> Conversation:
        """What ``previous_response_id`` means; nothing for ``None``. Raises ``InvalidField``."""
        if response_id is None:
            return NOTHING
        if not isinstance(response_id, str):
            sentence = f"'previous_response_id' is {shown(response_id)}; it must be the id of a response."
            raise InvalidField("previous_response_id", sentence)
        if response_id not in self._kept:
            raise PreviousResponseNotFound(
                f"There is no response {response_id[:60]!r} here: a connection keeps its last {MOST_KEPT} responses, "
                f"and {MOST_KEPT_BYTES // 2**20} MiB of them; send the whole conversation in 'input'."
            )
        self._kept.move_to_end(response_id)
        return self._kept[response_id]
