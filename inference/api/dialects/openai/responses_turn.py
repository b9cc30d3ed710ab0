"""One ``response.create`` frame, and the frames that answer it."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import msgspec

from inference.api.dialects.base import Head
from inference.api.dialects.openai.errors import error_fields, status_of
from inference.api.dialects.openai.fields import Fields, only_given
from inference.api.dialects.openai.responses import Responses
from inference.api.dialects.openai.responses_events import Event, ResponseEvents
from inference.api.dialects.openai.responses_kept import NOTHING, Conversation, KeptConversations
from inference.api.dialects.openai.responses_resource import resource, response_id
from inference.errors import Cancelled, InferenceError
from inference.messaging.messages import Description, Started, Token
from inference.serving.context import RequestContext
from inference.serving.deployment import Deployment
from inference.serving.generation_result import GenerationResult
from inference.serving.query import Query
from inference.serving.result import RequestResult, Served

OF_FRAMES = ("type", "stream_id", "generate", "stream")
"""Fields that a request over HTTP does not have, or that mean nothing in a frame."""


class Turn:
    """Reads its frame when its turn in the lane has come, since the response before it may end until then."""

    def __init__(self, fields: Fields, size: int, stream_id: str | None, kept: KeptConversations) -> None:
        self.stream_id = stream_id
        self._fields = {name: value for name, value in only_given(fields).items() if name not in OF_FRAMES}
        self._size = size
        self._kept = kept
        self._before = NOTHING
        self._query: Query | None = None

    def read(self, deployment: Deployment, pipeline: str | None) -> Query:
        """Raises as ``Endpoint.read``."""
        self._before = self._kept.before(self._fields.get("previous_response_id"))
        head = Head("GET", Responses.path, lambda name: "", pipeline=pipeline)
        query = Responses(self._before.messages).query(self._fields | {"stream": True}, head, deployment)
        assert query.adapt is not None  # noqa: S101 - it depends on what is served
        self._query = query.changed(adapt=partial(_whole_if_need_be, query.adapt))
        return self._query

    @property
    def query(self) -> Query:
        """Once it is read."""
        assert self._query is not None  # noqa: S101
        return self._query

    def keep(self, context: RequestContext, said: dict[str, Any] | None) -> None:
        """The conversation up to here, with the answer if there is one."""
        messages = self.query.inputs[0]["instructions" in self._fields :]
        answer = [] if said is None else [said]
        size = self._before.size + self._size + len(msgspec.json.encode(said))
        self._kept.keep(response_id(context), Conversation([*messages, *answer], size))

    def frame(self, event: Event) -> str:
        named = event if self.stream_id is None else event | {"stream_id": self.stream_id}
        return msgspec.json.encode(named).decode()

    def error_frame(self, error: InferenceError) -> str:
        """After it, the response before this one cannot be continued any more: the specification asks for that."""
        self._kept.drop(self._fields.get("previous_response_id"))
        fields = error_fields(error)["error"]
        if error.retry_after_s is not None:
            fields["headers"] = {"retry-after": str(error.retry_after_s)}
        return self.frame({"type": "error", "status": status_of(error), "error": fields})

    def prepared(self, context: RequestContext) -> list[str]:
        """The answer to a frame that wants nothing generated: a response without output."""
        self.keep(context, None)
        asked = self.query.state
        events = ResponseEvents(context, asked)
        begin = [*events.begin()]
        end = events.event("response.completed", response=resource(context, asked, "completed"))
        return [self.frame(event) for event in (*begin, end)]


def _whole_if_need_be(adapt: Any, query: Query, description: Description) -> Query:
    """A pipeline that tells no single tokens answers all at once, in the same events."""
    if query.tokens_for == "stream" and not description.streams:
        query = query.changed(stream=False, tokens_for=None)
    adapted: Query = adapt(query, description)
    return adapted


class TurnWriter:
    """Exactly one of its frames ends the turn: a completed or incomplete response, or an error."""

    def __init__(self, turn: Turn, context: RequestContext) -> None:
        self._turn = turn
        self._context = context
        self._events: ResponseEvents | None = None

    def accepted(self, served: Served) -> Iterable[str]:
        self._events = ResponseEvents(self._context, self._turn.query.state)
        return self._frames(self._events.begin())

    def started(self, event: Started) -> Iterable[str]:
        return ()

    def token(self, token: Token, generation: GenerationResult) -> Iterable[str]:
        assert self._events is not None  # noqa: S101 - it was accepted
        return self._frames(self._events.token(token))

    def end(self, result: RequestResult) -> Iterable[str]:
        assert self._events is not None  # noqa: S101
        frames = self._frames(self._events.end(result))
        self._turn.keep(self._context, self._events.said)
        return frames

    def error(self, error: InferenceError) -> str:
        return self._turn.error_frame(error)

    def cancelled(self, query: Query | None, generation: GenerationResult | None) -> str:
        return self.error(Cancelled("The connection was closed."))

    def _frames(self, events: Iterable[Event]) -> list[str]:
        return [self._turn.frame(event) for event in events]
