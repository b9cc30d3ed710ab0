"""``POST /v1/chat/completions``."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

from inference.api.dialects.base import Reply, Writer
from inference.api.dialects.doc import Doc
from inference.api.dialects.openai import answers, docs, logprobs, structured
from inference.api.dialects.openai.calls import Held, parsed
from inference.api.dialects.openai.chunks import ChunkWriter
from inference.api.dialects.openai.errors import InvalidField, UnsupportedField
from inference.api.dialects.openai.fields import Fields, check_only, read, read_flag, unsuited
from inference.api.dialects.openai.generating import Asked, GeneratingEndpoint
from inference.api.dialects.openai.messages import EXAMPLE, only_texts, read_messages
from inference.api.dialects.openai.tools import Tools, read_tools
from inference.api.dialects.openai.until_stop import Placed
from inference.messaging.messages import Description
from inference.serving.context import RequestContext
from inference.serving.generation_result import GenerationResult
from inference.serving.query import Query
from inference.serving.result import RequestResult
from inference.tasks import TASKS
from inference.tasks.base import Task
from inference.tasks.inputs import ImageChatInput
from inference.tasks.parameters import Whole

MOST_TOP_LOGPROBS = 20
ONLY: dict[str, Sequence[Any]] = {
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
}


class ChatCompletions(GeneratingEndpoint):
    path = "/v1/chat/completions"
    example = EXAMPLE
    fields = (
        *("messages", "model", "n", "stream", "stream_options", "logprobs", "top_logprobs"),
        *("tools", "tool_choice", "parallel_tool_calls"),
        *ONLY,
        structured.FIELD,
    )

    def check(self, fields: Fields) -> None:
        check_only(fields, ONLY)

    def inputs(self, fields: Fields) -> list[Any]:
        return [read_messages(fields)]

    def top_logprobs(self, fields: Fields) -> int | None:
        top = read(fields, "top_logprobs", Whole(0, MOST_TOP_LOGPROBS))
        if read_flag(fields, "logprobs"):
            return top or 0
        if top:
            raise InvalidField("top_logprobs", "'top_logprobs' needs 'logprobs'; set that to true, or leave this out.")
        return None

    def suited(self, query: Query, description: Description) -> Query:
        return suited_chat(query, description, self.path, "messages")

    def tools(self, fields: Fields) -> Tools | None:
        return read_tools(fields)

    def more_parameters(self, fields: Fields, task: Task, asked: Asked) -> dict[str, Any]:
        wanted = structured.read_format(fields, task)
        if asked.tools and asked.tools.must:
            return structured.as_parameter("tools", asked.tools.grammar(), task)
        return wanted

    def reply(self, context: RequestContext, result: RequestResult) -> Reply:
        asked: Asked = result.query.state
        choices = [
            {
                "index": choice.number,
                "message": {"role": "assistant"} | message,
                "logprobs": None if asked.top_logprobs is None else logprobs.of_chat(choice.tokens),
                "finish_reason": "tool_calls" if "tool_calls" in message else choice.finish_reason,
            }
            for choice in answers.choices(result, asked)
            for message in [_message(choice, asked, context)]
        ]
        common = answers.common_fields(context, asked, "chat.completion", ChatChunks.prefix)
        return answers.reply(context, common | {"choices": choices, "usage": answers.usage(result)})

    def writer(self, context: RequestContext, query: Query) -> Writer:
        return ChatChunks(context, query.state)

    def doc(self, task: Task | None) -> Doc | None:
        if task is not None and (
            task.output != "text" or not (task.input.chats or isinstance(task.input, ImageChatInput))
        ):
            return None
        logprobs = {"logprobs": docs.FLAG, "top_logprobs": Whole(0, MOST_TOP_LOGPROBS).schema()}
        return docs.chat(task, self.example, docs.schemas(self.fields, ONLY) | logprobs)


def suited_chat(query: Query, description: Description, path: str, field: str) -> Query:
    """``field`` has the chat. Raises ``InvalidField``."""
    form, pipeline = TASKS[description.task].input, query.state.pipeline
    if TASKS[description.task].output == "text":
        if isinstance(form, ImageChatInput):
            if query.state.tools:
                raise UnsupportedField("tools", f"Pipeline {pipeline} calls no tools; leave 'tools' out.")
            return query
        if form.chats and description.chat:
            chat = only_texts(query.inputs[0], pipeline, field)
            return query.changed(inputs=[_input(chat, query.state.tools)])
        if form.chats:
            sentence = f"The model of pipeline {pipeline} has no chat template; send a text to /v1/completions."
            raise InvalidField("model", sentence)
    raise unsuited(pipeline, description, path, "that answers chats")


class ChatChunks(ChunkWriter):
    kind = "chat.completion.chunk"
    prefix = "chatcmpl-"

    def __init__(self, context: RequestContext, asked: Asked) -> None:
        super().__init__(context, asked)
        self._request = context.id
        self._held: defaultdict[int, Held] = defaultdict(Held)
        """Text of each choice that may call tools."""

    def finished(self, generation: GenerationResult) -> bytes:
        if self.asked.tools is None:
            return super().finished(generation)
        last = self.token(generation.tokens[-1], generation, last=True)
        prefix = f"call_{self._request}_{generation.index}_"
        content, calls = parsed(self._held[generation.index].rest, self.asked.tools.names, prefix)
        delta: dict[str, Any] = {"content": content} if content else {}
        if calls:
            delta["tool_calls"] = [{"index": number} | call for number, call in enumerate(calls)]
        reason = "tool_calls" if calls else answers.finish_reason(generation.finish_reason)
        choice = {"index": generation.index, "delta": delta, "logprobs": None, "finish_reason": None}
        end = choice | {"delta": {}, "finish_reason": reason}
        return last + (self.chunk([choice]) if delta else b"") + self.chunk([end])

    def choice(
        self, generation: GenerationResult, text: str, tokens: Sequence[Placed], *, first: bool
    ) -> dict[str, Any]:
        if self.asked.tools is not None:
            text = self._held[generation.index].push(text)
        delta = {"role": "assistant", "content": text} if first else {"content": text} if text else {}
        told = self.asked.top_logprobs is not None and tokens
        return {"index": generation.index, "delta": delta, "logprobs": logprobs.of_chat(tokens) if told else None}


def _input(messages: list[dict[str, Any]], tools: Tools | None) -> Any:
    """A list, unless tools are in it."""
    if tools is None and all(message.keys() == {"role", "content"} for message in messages):
        return messages
    return {"messages": messages, "tools": [] if tools is None else tools.functions}


def _message(choice: answers.Choice, asked: Asked, context: RequestContext) -> dict[str, Any]:
    if asked.tools is None:
        return {"content": choice.text}
    text = choice.text if isinstance(choice.text, str) else msgspec.json.decode(choice.text, type=str)
    content, calls = parsed(text, asked.tools.names, f"call_{context.id}_{choice.number}_")
    return {"content": content or None, "tool_calls": calls} if calls else {"content": content}
