"""``POST /v1/chat/completions``."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from inference.api.dialects.base import Head, Reply, Writer
from inference.api.dialects.openai import answers, logprobs
from inference.api.dialects.openai.chunks import ChunkWriter
from inference.api.dialects.openai.errors import InvalidField
from inference.api.dialects.openai.fields import Fields, check_only, read, read_fields, read_flag, unsuited
from inference.api.dialects.openai.generation import Asked, parameters_for, read_asked, read_choices
from inference.api.dialects.openai.messages import EXAMPLE, only_texts, read_messages
from inference.api.dialects.openai.models import asked_pipeline
from inference.api.dialects.openai.until_stop import Placed
from inference.api.dialects.reading import DeadlineInHeader
from inference.messaging.messages import Description
from inference.serving.context import RequestContext
from inference.serving.deployment import Deployment
from inference.serving.generation_result import GenerationResult
from inference.serving.query import Query
from inference.serving.result import RequestResult
from inference.tasks import TASKS
from inference.tasks.inputs import ImageChatInput
from inference.tasks.parameters import Whole

PATH = "/v1/chat/completions"
MOST_TOP_LOGPROBS = 20

_ONLY: dict[str, Sequence[Any]] = {
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
}
_FIELDS = (
    *("messages", "model", "n", "stream", "stream_options", "logprobs", "top_logprobs", "parallel_tool_calls"),
    *_ONLY,
)


class ChatCompletions(DeadlineInHeader):
    method = "POST"
    path = PATH
    pipeline_in_body = True

    def read(self, head: Head, body: bytes, deployment: Deployment) -> Query:
        fields = read_fields(body, EXAMPLE)
        pipeline = asked_pipeline(head, fields.get("model"), deployment).name
        messages = read_messages(fields)
        if fields.get("tool_choice") == "none":
            fields = {name: value for name, value in fields.items() if name != "tools"}
        check_only(fields, _ONLY)
        asked = read_asked(fields, pipeline, _top_logprobs(fields))
        return Query(
            inputs=[messages],
            many=False,
            pipeline=pipeline,
            stream=read_flag(fields, "stream"),
            tokens_for=None if asked.top_logprobs is None else "logprobs",
            choices=read_choices(fields),
            deadline_s=self.deadline_s(head.header(self.deadline_header), deployment.conf.max_deadline_s),
            state=asked,
            adapt=partial(_adapted, fields, asked),
        )

    def reply(self, context: RequestContext, result: RequestResult) -> Reply:
        asked: Asked = result.query.state
        choices = [
            {
                "index": choice.number,
                "message": {"role": "assistant", "content": choice.text},
                "logprobs": None if asked.top_logprobs is None else logprobs.of_chat(choice.tokens),
                "finish_reason": choice.finish_reason,
            }
            for choice in answers.choices(result, asked)
        ]
        common = answers.common_fields(context, asked, "chat.completion", ChatChunks.prefix)
        return answers.reply(context, common | {"choices": choices, "usage": answers.usage(result)})

    def writer(self, context: RequestContext, query: Query) -> Writer:
        return ChatChunks(context, query.state)


class ChatChunks(ChunkWriter):
    kind = "chat.completion.chunk"
    prefix = "chatcmpl-"

    def choice(
        self, generation: GenerationResult, text: str, tokens: Sequence[Placed], *, first: bool
    ) -> dict[str, Any]:
        delta = {"role": "assistant", "content": text} if first else {"content": text} if text else {}
        told = self.asked.top_logprobs is not None and tokens
        return {"index": generation.index, "delta": delta, "logprobs": logprobs.of_chat(tokens) if told else None}


def _top_logprobs(fields: Fields) -> int | None:
    top = read(fields, "top_logprobs", Whole(0, MOST_TOP_LOGPROBS))
    if read_flag(fields, "logprobs"):
        return top or 0
    if top:
        raise InvalidField("top_logprobs", "'top_logprobs' needs 'logprobs'; set that to true, or leave this out.")
    return None


def _adapted(fields: Fields, asked: Asked, query: Query, description: Description) -> Query:
    task = TASKS[description.task]
    images = isinstance(task.input, ImageChatInput)
    if not (images or task.input.chats) or task.output != "text":
        raise unsuited(asked.model, description, PATH, "that answers chats")
    if not (images or description.chat):
        sentence = f"The model of pipeline {asked.model} has no chat template; send a text to /v1/completions."
        raise InvalidField("model", sentence)
    asked.version = description.version
    inputs = query.inputs if images else [only_texts(query.inputs[0], asked.model)]
    return query.changed(inputs=inputs, parameters=parameters_for(task, fields, _FIELDS, asked))
