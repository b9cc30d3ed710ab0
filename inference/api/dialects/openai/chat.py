"""``POST /v1/chat/completions``."""

from collections.abc import Sequence
from typing import Any

from inference.api.dialects.base import Reply, Writer
from inference.api.dialects.doc import Doc
from inference.api.dialects.openai import answers, docs, logprobs, structured
from inference.api.dialects.openai.chunks import ChunkWriter
from inference.api.dialects.openai.errors import InvalidField
from inference.api.dialects.openai.fields import Fields, check_only, read, read_flag, unsuited
from inference.api.dialects.openai.generating import Asked, GeneratingEndpoint
from inference.api.dialects.openai.messages import EXAMPLE, only_texts, read_messages
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
TOOLS: dict[str, Sequence[Any]] = {"tools": ([],), "functions": ([],)}
ONLY: dict[str, Sequence[Any]] = {
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
}


class ChatCompletions(GeneratingEndpoint):
    path = "/v1/chat/completions"
    example = EXAMPLE
    fields = (
        *("messages", "model", "n", "stream", "stream_options", "logprobs", "top_logprobs", "parallel_tool_calls"),
        *TOOLS,
        *ONLY,
        structured.FIELD,
    )

    def check(self, fields: Fields) -> None:
        check_only(fields, ONLY if fields.get("tool_choice") == "none" else TOOLS | ONLY)

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

    def more_parameters(self, fields: Fields, task: Task) -> dict[str, Any]:
        return structured.read_format(fields, task)

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

    def doc(self, task: Task | None) -> Doc | None:
        if task is not None and (
            task.output != "text" or not (task.input.chats or isinstance(task.input, ImageChatInput))
        ):
            return None
        logprobs = {"logprobs": docs.FLAG, "top_logprobs": Whole(0, MOST_TOP_LOGPROBS).schema()}
        return docs.chat(task, self.example, docs.schemas(self.fields, TOOLS | ONLY) | logprobs)


def suited_chat(query: Query, description: Description, path: str, field: str) -> Query:
    """``field`` has the chat. Raises ``InvalidField``."""
    form, pipeline = TASKS[description.task].input, query.state.pipeline
    if TASKS[description.task].output == "text":
        if isinstance(form, ImageChatInput):
            return query
        if form.chats and description.chat:
            return query.changed(inputs=[only_texts(query.inputs[0], pipeline, field)])
        if form.chats:
            sentence = f"The model of pipeline {pipeline} has no chat template; send a text to /v1/completions."
            raise InvalidField("model", sentence)
    raise unsuited(pipeline, description, path, "that answers chats")


class ChatChunks(ChunkWriter):
    kind = "chat.completion.chunk"
    prefix = "chatcmpl-"

    def choice(
        self, generation: GenerationResult, text: str, tokens: Sequence[Placed], *, first: bool
    ) -> dict[str, Any]:
        delta = {"role": "assistant", "content": text} if first else {"content": text} if text else {}
        told = self.asked.top_logprobs is not None and tokens
        return {"index": generation.index, "delta": delta, "logprobs": logprobs.of_chat(tokens) if told else None}
