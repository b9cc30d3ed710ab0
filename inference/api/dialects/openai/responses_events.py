"""The events of a streamed response, the same as server-sent events and as frames."""

from collections.abc import Iterator
from typing import Any

import msgspec

from inference.api.dialects.openai import answers
from inference.api.dialects.openai.calls import Held
from inference.api.dialects.openai.errors import error_fields, status_of
from inference.api.dialects.openai.generating import Asked
from inference.api.dialects.openai.responses_resource import (
    call_item,
    calls_in,
    item,
    item_id,
    of_tokens,
    part,
    resource,
    used,
)
from inference.api.dialects.openai.responses_tools import said
from inference.api.dialects.openai.until_stop import Placed, UntilStop
from inference.errors import InferenceError
from inference.messaging.messages import Token
from inference.serving.context import RequestContext
from inference.serving.result import RequestResult

Event = dict[str, Any]

FAILURES = {429: "rate_limit_exceeded", 400: "invalid_prompt"}
"""Codes of failed responses by status; they are fewer than those of errors."""


class ResponseEvents:
    """The response and its items, a message with one text and calls of tools, each from its beginning to its end."""

    def __init__(self, context: RequestContext, asked: Asked) -> None:
        self.begun = False
        self.said: dict[str, Any] = {}
        """The message of the model, as chat templates have it, once the response has ended."""
        self._context = context
        self._asked = asked
        self._number = 0
        self._until_stop = UntilStop(asked.stop)
        self._held = Held() if asked.tools else None
        """Text that may call tools."""
        self._texts: list[str] | None = None
        """``None`` until the message begins."""
        self._tokens: list[Placed] = []

    def begin(self) -> Iterator[Event]:
        if not self.begun:
            self.begun = True
            for kind in ("response.created", "response.in_progress"):
                yield self.event(kind, response=resource(self._context, self._asked, "in_progress"))

    def token(self, token: Token, *, last: bool = False) -> Iterator[Event]:
        yield from self.begin()
        yield from self._take(*self._until_stop.push(token, last=last))

    def end(self, result: RequestResult) -> Iterator[Event]:
        """The end of all; the whole text where its tokens were not told."""
        if result.generation is not None:
            reason = answers.finish_reason(result.generation.finish_reason)
            yield from self.token(result.generation.tokens[-1], last=True)
        else:
            (choice,) = answers.choices(result, self._asked)
            reason, text = choice.finish_reason, choice.text
            yield from self.begin()
            yield from self._take(text if isinstance(text, str) else msgspec.json.decode(text, type=str), [])
        rest, calls = calls_in(self._context, self._asked, self._held.rest) if self._held else ("", [])
        if rest or (self._texts is None and not calls):
            yield from self._delta(rest, [])
        status = "incomplete" if reason == "length" else "completed"
        output: list[dict[str, Any]] = []
        if self._texts is not None:
            output.append(item(self._context, "completed" if calls else status, [part(self._text, self._tokens)]))
            yield from self._message_done(output[0])
        for number, call in enumerate(calls):
            output.append(call_item(self._context, number, call))
            yield from self._called(output[-1], len(output) - 1)
        self.said = said(self._text, calls)
        response = resource(self._context, self._asked, status, output=output, usage=used(result))
        yield self.event(f"response.{status}", response=response)

    def error(self, error: InferenceError) -> Event:
        """Fields of the two shapes that clients read."""
        fields = error_fields(error)["error"]
        return self.event("error", code=fields["code"], message=fields["message"], param=fields["param"], error=fields)

    def failed(self, error: InferenceError) -> Event:
        failure = {"code": FAILURES.get(status_of(error), "server_error"), "message": error.message}
        return self.event("response.failed", response=resource(self._context, self._asked, "failed", error=failure))

    @property
    def _text(self) -> str:
        return "".join(self._texts or ())

    def _take(self, text: str, tokens: list[Placed]) -> Iterator[Event]:
        """Of a text that may call tools, what is certainly no call."""
        if self._held is None:
            yield from self._delta(text, tokens)
        elif free := self._held.push(text):
            yield from self._delta(free, tokens)

    def _delta(self, text: str, tokens: list[Placed]) -> Iterator[Event]:
        if self._texts is None:
            self._texts = []
            added = item(self._context, "in_progress", [])
            yield self.event("response.output_item.added", output_index=0, item=added)
            yield self._content("response.content_part.added", part=part("", []))
        told = tokens if self._asked.top_logprobs is not None else []
        if text or told:
            self._texts.append(text)
            self._tokens += told
            yield self._content("response.output_text.delta", delta=text, logprobs=of_tokens(told))

    def _message_done(self, message: dict[str, Any]) -> Iterator[Event]:
        (whole,) = message["content"]
        yield self._content("response.output_text.done", text=whole["text"], logprobs=whole["logprobs"])
        yield self._content("response.content_part.done", part=whole)
        yield self.event("response.output_item.done", output_index=0, item=message)

    def _called(self, call: dict[str, Any], index: int) -> Iterator[Event]:
        where, arguments = {"item_id": call["id"], "output_index": index}, call["arguments"]
        begun = call | {"status": "in_progress", "arguments": ""}
        yield self.event("response.output_item.added", output_index=index, item=begun)
        yield self.event("response.function_call_arguments.delta", **where, delta=arguments)
        yield self.event("response.function_call_arguments.done", **where, name=call["name"], arguments=arguments)
        yield self.event("response.output_item.done", output_index=index, item=call)

    def _content(self, kind: str, **fields: Any) -> Event:
        return self.event(kind, item_id=item_id(self._context), output_index=0, content_index=0, **fields)

    def event(self, kind: str, **fields: Any) -> Event:
        number, self._number = self._number, self._number + 1
        return {"type": kind, "sequence_number": number, **fields}
