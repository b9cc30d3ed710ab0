"""``POST /v1/completions``: what comes after a prompt, which no chat template is put around."""

from collections.abc import Sequence
from typing import Any

from inference.api.dialects.base import Reply, Writer
from inference.api.dialects.doc import Doc
from inference.api.dialects.openai import answers, docs, logprobs
from inference.api.dialects.openai.chunks import ChunkWriter
from inference.api.dialects.openai.errors import InvalidField
from inference.api.dialects.openai.fields import Fields, check_only, read, required, shown, unsuited
from inference.api.dialects.openai.generating import Asked, GeneratingEndpoint
from inference.api.dialects.openai.until_stop import Placed
from inference.messaging.messages import Description
from inference.serving.context import RequestContext
from inference.serving.generation_result import GenerationResult
from inference.serving.query import Query
from inference.serving.result import RequestResult
from inference.tasks import TASKS
from inference.tasks.base import Task
from inference.tasks.parameters import Whole

MOST_LOGPROBS = 20
ONLY: dict[str, Sequence[Any]] = {"suffix": ("",), "best_of": (1,)}


class Completions(GeneratingEndpoint):
    """``return_full_text`` is the pipeline's word for ``echo``."""

    path = "/v1/completions"
    example = '{"prompt": "a text"}'
    fields = ("prompt", "model", "n", "stream", "stream_options", "logprobs", "echo", "return_full_text", *ONLY)
    new_tokens = 16
    """OpenAI's default. A chat ends by itself, while a prompt may be continued for ever."""

    def check(self, fields: Fields) -> None:
        check_only(fields, ONLY)

    def inputs(self, fields: Fields) -> list[Any]:
        return read_prompts(required(fields, "prompt", self.example))

    def top_logprobs(self, fields: Fields) -> int | None:
        top: int | None = read(fields, "logprobs", Whole(0, MOST_LOGPROBS))
        return top

    def suited(self, query: Query, description: Description) -> Query:
        task, asked = TASKS[description.task], query.state
        if not _writes_on(task):
            raise unsuited(asked.pipeline, description, self.path, "that writes a text about a text")
        only_texts = all(isinstance(prompt, str) for prompt in query.inputs)
        if not (task.continues or only_texts):
            raise InvalidField("prompt", f"'prompt' has token ids; pipeline {asked.pipeline} takes only texts.")
        if asked.echo:
            _check_echo(asked, continues=task.continues, only_texts=only_texts)
        return query

    def reply(self, context: RequestContext, result: RequestResult) -> Reply:
        asked: Asked = result.query.state
        given, each = result.query.inputs, result.query.choices
        choices = [
            {
                "text": given[choice.number // each] + choice.text if asked.echo else choice.text,
                "index": choice.number,
                "logprobs": None if asked.top_logprobs is None else logprobs.of_completion(choice.tokens),
                "finish_reason": choice.finish_reason,
            }
            for choice in answers.choices(result, asked)
        ]
        common = answers.common_fields(context, asked, CompletionChunks.kind, CompletionChunks.prefix)
        return answers.reply(context, common | {"choices": choices, "usage": answers.usage(result)})

    def writer(self, context: RequestContext, query: Query) -> Writer:
        return CompletionChunks(context, query.state)

    def doc(self, task: Task | None) -> Doc | None:
        if task is not None and not _writes_on(task):
            return None
        logprobs = {"logprobs": Whole(0, MOST_LOGPROBS).schema()}
        return docs.completion(task, self.example, docs.schemas(self.fields, ONLY) | logprobs)


class CompletionChunks(ChunkWriter):
    kind = "text_completion"
    prefix = "cmpl-"

    def choice(
        self, generation: GenerationResult, text: str, tokens: Sequence[Placed], *, first: bool
    ) -> dict[str, Any]:
        told = self.asked.top_logprobs is not None and tokens
        return {
            "text": generation.given + text if first and self.asked.echo else text,
            "index": generation.index,
            "logprobs": logprobs.of_completion(tokens) if told else None,
        }


def read_prompts(prompt: Any) -> list[Any]:
    """Texts, and tokens of the model's own vocabulary as the pipeline takes them. Raises ``InvalidField``."""
    if isinstance(prompt, str):
        return [prompt]
    if isinstance(prompt, list) and prompt:
        if all(isinstance(each, str) for each in prompt):
            return prompt
        if all(map(_is_id, prompt)):
            prompt = [prompt]
        if all(isinstance(each, list) and each and all(map(_is_id, each)) for each in prompt):
            return [{"token_ids": ids} for ids in prompt]
    raise InvalidField(
        "prompt", f"'prompt' is {shown(prompt)}; it must be a text, a list of token ids, or a list of such prompts."
    )


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _writes_on(task: Task) -> bool:
    return task.output == "text" and task.input.plain and not task.input.media


def _check_echo(asked: Asked, *, continues: bool, only_texts: bool) -> None:
    """Raises ``InvalidField``."""
    if not continues:
        raise InvalidField("echo", f"Pipeline {asked.pipeline} does not continue its prompts; leave 'echo' out.")
    if not only_texts:
        raise InvalidField("echo", "'echo' needs prompts that are texts, not token ids; leave it out.")
    if asked.top_logprobs is not None:
        raise InvalidField("echo", "'echo' and 'logprobs' together need those of the prompt; leave one out.")
