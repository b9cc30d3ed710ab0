"""The events of a streamed response, the same as server-sent events and as frames."""

from collections.abc import Iterator
from typing import Any

import msgspec

from inference.api.dialects.openai import answers
from inference.api.dialects.openai.errors import error_fields, status_of
from inference.api.dialects.openai.generating import Asked
from inference.api.dialects.openai.responses_resource import item, item_id, of_tokens, part, resource, used
from inference.api.dialects.openai.until_stop import Placed, UntilStop
from inference.errors import InferenceError
from inference.messaging.messages import Token
from inference.serving.context import RequestContext
from inference.serving.result import RequestResult

Event = dict[str, Any]

FAILURES = {429: "rate_limit_exceeded", 400: "invalid_prompt"}
"""Codes of failed responses by status; they are fewer than those of errors."""


class ResponseEvents:
    """The response and its only item, a message with one text, each from its beginning to its end."""

    def __init__(self, context: RequestContext, asked: Asked) -> None:
        self.begun = False
        self.text = ""
        """All of it, once the response has ended."""
        self._context = context
        self._asked = asked
        self._number = 0
        self._until_stop: UntilStop | None = None
        """``None`` until the text begins."""
        self._texts: list[str] = []
        self._tokens: list[Placed] = []

    def begin(self) -> Iterator[Event]:
        if not self.begun:
            self.begun = True
            for kind in ("response.created", "response.in_progress"):
                yield self.event(kind, response=resource(self._context, self._asked, "in_progress"))

    def token(self, token: Token, *, last: bool = False) -> Iterator[Event]:
        yield from self._begin_text()
        assert self._until_stop is not None  # noqa: S101
        text, tokens = self._until_stop.push(token, last=last)
        yield from self._delta(text, tokens if self._asked.top_logprobs is not None else [])

    def end(self, result: RequestResult) -> Iterator[Event]:
        """The end of the text and of the response; all of the text where its tokens were not told."""
        if result.generation is not None:
            reason = answers.finish_reason(result.generation.finish_reason)
            yield from self.token(result.generation.tokens[-1], last=True)
        else:
            (choice,) = answers.choices(result, self._asked)
            reason, text = choice.finish_reason, choice.text
            yield from self._begin_text()
            yield from self._delta(text if isinstance(text, str) else msgspec.json.decode(text, type=str), [])
        self.text = "".join(self._texts)
        status = "incomplete" if reason == "length" else "completed"
        whole = part(self.text, self._tokens)
        output = item(self._context, status, [whole])
        yield self._content("response.output_text.done", text=self.text, logprobs=whole["logprobs"])
        yield self._content("response.content_part.done", part=whole)
        yield self.event("response.output_item.done", output_index=0, item=output)
        response = resource(self._context, self._asked, status, output=[output], usage=used(result))
        yield self.event(f"response.{status}", response=response)

    def error(self, error: InferenceError) -> Event:
        """Fields of the two shapes that clients read."""
        fields = error_fields(error)["error"]
        return self.event("error", code=fields["code"], message=fields["message"], param=fields["param"], error=fields)

    def failed(self, error: InferenceError) -> Event:
        failure = {"code": FAILURES.get(status_of(error), "server_error"), "message": error.message}
        return self.event("response.failed", response=resource(self._context, self._asked, "failed", error=failure))

    def _begin_text(self) -> Iterator[Event]:
        yield from self.begin()
        if self._until_stop is None:
            self._until_stop = UntilStop(self._asked.stop)
            added = item(self._context, "in_progress", [])
            yield self.event("response.output_item.added", output_index=0, item=added)
            yield self._content("response.content_part.added", part=part("", []))

    def _delta(self, text: str, tokens: list[Placed]) -> Iterator[Event]:
        if text or tokens:
            self._texts.append(text)
            self._tokens += tokens
            yield self._content("response.output_text.delta", delta=text, logprobs=of_tokens(tokens))

    def _content(self, kind: str, **fields: Any) -> Event:
        return self.event(kind, item_id=item_id(self._context), output_index=0, content_index=0, **fields)

    def event(self, kind: str, **fields: Any) -> Event:
        number, self._number = self._number, self._number + 1
        return {"type": kind, "sequence_number": number, **fields}
