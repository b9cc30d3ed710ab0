"""The WebSocket ``/v1/responses``: frames of JSON, many responses at once in lanes.

https://developers.openai.com/api/docs/guides/websocket-mode. What is said on a connection is kept there, so that a
response can continue one before it.
"""

import re
from functools import partial
from typing import Any

from inference.api.dialects.base import Cancel, Rejected, Say, Start
from inference.api.dialects.openai.errors import InvalidField
from inference.api.dialects.openai.fields import shown
from inference.api.dialects.openai.responses_kept import KeptConversations
from inference.api.dialects.openai.responses_turn import Turn, TurnWriter
from inference.api.dialects.reading import decode_object
from inference.api.scope import Transport
from inference.errors import InferenceError
from inference.serving.context import RequestContext
from inference.serving.deployment import Deployment

CREATE, STEER = "response.create", "response.steer"
EXAMPLE = '{"type": "response.create", "input": "a text"}'
STREAM_ID = re.compile(r"[A-Za-z0-9_.-]{1,256}")


class ResponsesSocket:
    def __init__(self) -> None:
        self._kept = KeptConversations()
        self._turns: dict[str, Turn] = {}
        """By our number, until they get a writer or are refused."""
        self._numbers = 0

    def receive(self, frame: str, deployment: Deployment, pipeline: str | None) -> Start | Cancel | Say | Rejected:
        fields = decode_object(frame, example=EXAMPLE)
        stream_id = _stream_id(fields)
        turn = Turn(fields, len(frame.encode()), stream_id, self._kept)
        if fields.get("type") == STEER:
            return Say([_not_steered(turn, fields)])
        self._numbers += 1
        number = str(self._numbers)
        self._turns[number] = turn
        try:
            if fields.get("type") != CREATE:
                raise InvalidField("type", f"'type' is {shown(fields.get('type'))}; send a frame such as {EXAMPLE}.")
            if not _generates(fields):
                frames = _prepared(turn, deployment, pipeline)
                del self._turns[number]
                return Say(frames)
        except InferenceError as error:
            return Rejected(number, error)
        return Start(number, partial(turn.read, deployment, pipeline), lane=stream_id or "")

    def writer(self, client_id: str, context: RequestContext) -> TurnWriter:
        return TurnWriter(self._turns.pop(client_id), context)

    def error(self, client_id: str | None, context: RequestContext, error: InferenceError) -> str:
        turn = self._turns.pop(client_id) if client_id is not None else Turn({}, 0, None, self._kept)
        return turn.error_frame(error)


def _stream_id(fields: dict[str, Any]) -> str | None:
    """Name of the lane. Raises ``InvalidField``."""
    stream_id = fields.get("stream_id")
    if stream_id is None or (isinstance(stream_id, str) and STREAM_ID.fullmatch(stream_id)):
        return stream_id
    sentence = f"'stream_id' is {shown(stream_id)}; it must have 1 to 256 letters, digits, '_', '.' or '-'."
    raise InvalidField("stream_id", sentence)


def _generates(fields: dict[str, Any]) -> bool:
    """Raises ``InvalidField``."""
    generate = fields.get("generate")
    if not (generate is None or isinstance(generate, bool)):
        raise InvalidField("generate", f"'generate' is {shown(generate)}; it must be true or false.")
    return generate is not False


def _prepared(turn: Turn, deployment: Deployment, pipeline: str | None) -> list[str]:
    """Checked as far as it is known what is served. Raises as ``Turn.read``."""
    query = turn.read(deployment, pipeline)
    if (description := deployment.description(query.state.pipeline)) is not None:
        query.adapted(description)
    return turn.prepared(RequestContext(transport=Transport.WEBSOCKET))


def _not_steered(turn: Turn, fields: dict[str, Any]) -> str:
    error = {"code": "steering_not_supported", "message": f"A response cannot be steered here; send {CREATE!r}."}
    steer = {name: fields.get(name) for name in ("input", "previous_response_id")}
    return turn.frame({"type": "response.steer.failed", "sequence_number": 0, "error": error, "steer": steer})
