"""``POST /v1/responses``: a chat as items, answered by a message; https://www.openresponses.org."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from inference.api.dialects.base import Head, Reply
from inference.api.dialects.doc import Doc
from inference.api.dialects.openai import answers, docs
from inference.api.dialects.openai.chat import MOST_TOP_LOGPROBS, suited_chat
from inference.api.dialects.openai.chunks import END
from inference.api.dialects.openai.errors import InvalidField, PreviousResponseNotFound
from inference.api.dialects.openai.fields import Fields, check_only, read, shown
from inference.api.dialects.openai.generating import Asked, GeneratingEndpoint
from inference.api.dialects.openai.responses_events import Event, ResponseEvents
from inference.api.dialects.openai.responses_fields import ECHOED, ONLY, check_echoed, format_parameters
from inference.api.dialects.openai.responses_items import EXAMPLE, Messages, read_items
from inference.api.dialects.openai.responses_resource import items, resource, used
from inference.api.dialects.openai.responses_tools import tools_of
from inference.api.dialects.openai.structured import as_parameter
from inference.api.dialects.openai.tools import Tools
from inference.api.dialects.server_sent_events import stream_headers
from inference.errors import InferenceError
from inference.messaging.messages import Description, Token
from inference.serving.context import RequestContext
from inference.serving.deployment import Deployment
from inference.serving.generation_result import GenerationResult
from inference.serving.query import Query
from inference.serving.result import RequestResult
from inference.tasks.base import Task
from inference.tasks.inputs import ImageChatInput
from inference.tasks.parameters import Whole

LOGPROBS = "message.output_text.logprobs"
"""What ``include`` has if single tokens are wanted; it has no effect otherwise."""


class Responses(GeneratingEndpoint):
    """Over HTTP no response is kept, so none has one before it.

    Args:
        before: messages of the conversation so far, where responses are kept.
    """

    path = "/v1/responses"
    example = EXAMPLE
    fields = (
        *("input", "model", "instructions", "stream", "stream_options", "include", "top_logprobs"),
        *("previous_response_id", *ECHOED, *ONLY, "text", "tools", "tool_choice"),
    )

    def __init__(self, before: Sequence[dict[str, Any]] | None = None) -> None:
        self._before = before

    def query(self, fields: Fields, head: Head, deployment: Deployment) -> Query:
        query = super().query(fields, head, deployment)
        return query.changed(tokens_for="include") if query.tokens_for == "logprobs" else query

    def check(self, fields: Fields) -> None:
        check_only(fields, ONLY)
        check_echoed(fields)

    def inputs(self, fields: Fields) -> list[Any]:
        if "previous_response_id" in fields and self._before is None:
            raise PreviousResponseNotFound(
                "Responses are not kept over HTTP; send the whole conversation in 'input', or use the WebSocket "
                f"{self.path}, which keeps those of its connection."
            )
        messages = [*_instructions(fields), *read_items(fields, self._before or ())]
        if not messages:
            raise InvalidField("input", f"There is nothing in 'input'; send an object such as {EXAMPLE}.")
        return [messages]

    def top_logprobs(self, fields: Fields) -> int | None:
        included = fields.get("include", [])
        if not isinstance(included, list):
            raise InvalidField("include", f"'include' is {shown(included)}; it must be a list such as [{LOGPROBS!r}].")
        top = read(fields, "top_logprobs", Whole(0, MOST_TOP_LOGPROBS))
        if LOGPROBS in included:
            return top or 0
        if top:
            raise InvalidField("top_logprobs", f"'top_logprobs' needs {LOGPROBS!r} in 'include'; add it.")
        return None

    def suited(self, query: Query, description: Description) -> Query:
        return suited_chat(query, description, self.path, "input")

    def tools(self, fields: Fields) -> Tools | None:
        return tools_of(fields)

    def more_parameters(self, fields: Fields, task: Task, asked: Asked) -> dict[str, Any]:
        wanted = format_parameters(fields, task)
        if asked.tools and asked.tools.must:
            return as_parameter("tools", asked.tools.grammar(), task)
        return wanted

    def reply(self, context: RequestContext, result: RequestResult) -> Reply:
        asked: Asked = result.query.state
        (choice,) = answers.choices(result, asked)
        status = "incomplete" if choice.finish_reason == "length" else "completed"
        output = items(context, asked, status, choice)
        return answers.reply(context, resource(context, asked, status, output=output, usage=used(result)))

    def writer(self, context: RequestContext, query: Query) -> "ResponseWriter":
        return ResponseWriter(context, query.state)

    def doc(self, task: Task | None) -> Doc | None:
        if task is not None and (
            task.output != "text" or not (task.input.chats or isinstance(task.input, ImageChatInput))
        ):
            return None
        return docs.response(task, self.example, docs.schemas(self.fields, ONLY))


def _instructions(fields: Fields) -> Messages:
    """A message before all others. Raises ``InvalidField``."""
    if (given := fields.get("instructions")) is None:
        return []
    if not isinstance(given, str):
        raise InvalidField("instructions", f"'instructions' is {shown(given)}; it must be a text.")
    return [{"role": "system", "content": given}]


class ResponseWriter:
    """Server-sent events. The first ones come with the first token: until then an error has a status."""

    def __init__(self, context: RequestContext, asked: Asked) -> None:
        self.headers = stream_headers(context)
        self._events = ResponseEvents(context, asked)

    def token(self, token: Token, generation: GenerationResult) -> bytes:
        return _written(self._events.token(token))

    def finished(self, generation: GenerationResult) -> bytes:
        """Its last token is in the last events."""
        return b""

    def end(self, result: RequestResult) -> bytes:
        return _written(self._events.end(result)) + END

    def error(self, error: InferenceError) -> bytes:
        return _written([self._events.error(error), self._events.failed(error)]) + END


def _written(events: Iterable[Event]) -> bytes:
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event)) for event in events
    )
