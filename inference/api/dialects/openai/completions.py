"""``POST /v1/completions``: what comes after a prompt, which no chat template is put around."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from inference.api.dialects.base import Head, Reply, Writer
from inference.api.dialects.openai import answers, logprobs
from inference.api.dialects.openai.chunks import ChunkWriter
from inference.api.dialects.openai.errors import InvalidField
from inference.api.dialects.openai.fields import (
    Fields,
    check_only,
    read,
    read_fields,
    read_flag,
    required,
    shown,
    unsuited,
)
from inference.api.dialects.openai.generation import Asked, parameters_for, read_asked, read_choices
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
from inference.tasks.parameters import Whole

PATH = "/v1/completions"
EXAMPLE = '{"prompt": "a text"}'
MOST_LOGPROBS = 20

_ONLY: dict[str, Sequence[Any]] = {"suffix": ("",), "best_of": (1,)}
_FIELDS = ("prompt", "model", "n", "stream", "stream_options", "logprobs", "echo", "return_full_text", *_ONLY)
"""``return_full_text`` is the pipeline's word for ``echo``."""


class Completions(DeadlineInHeader):
    method = "POST"
    path = PATH
    pipeline_in_body = True

    def read(self, head: Head, body: bytes, deployment: Deployment) -> Query:
        fields = read_fields(body, EXAMPLE)
        pipeline = asked_pipeline(head, fields.get("model"), deployment).name
        prompts = read_prompts(required(fields, "prompt", EXAMPLE))
        check_only(fields, _ONLY)
        top_logprobs = read(fields, "logprobs", Whole(0, MOST_LOGPROBS))
        echo = read_flag(fields, "echo") or read_flag(fields, "return_full_text")
        if echo and top_logprobs is not None:
            raise InvalidField("echo", "'echo' and 'logprobs' together need those of the prompt; leave one out.")
        if echo and not all(isinstance(prompt, str) for prompt in prompts):
            raise InvalidField("echo", "'echo' needs prompts that are texts, not token ids; leave it out.")
        asked = read_asked(fields, pipeline, top_logprobs, echo=echo)
        return Query(
            inputs=prompts,
            many=len(prompts) > 1,
            pipeline=pipeline,
            stream=read_flag(fields, "stream"),
            tokens_for=None if top_logprobs is None else "logprobs",
            choices=read_choices(fields),
            deadline_s=self.deadline_s(head.header(self.deadline_header), deployment.conf.max_deadline_s),
            state=asked,
            adapt=partial(_adapted, fields, asked),
        )

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


def _adapted(fields: Fields, asked: Asked, query: Query, description: Description) -> Query:
    task = TASKS[description.task]
    if task.output != "text" or task.input.media or not task.input.plain:
        raise unsuited(asked.model, description, PATH, "that writes a text about a text")
    if not task.continues:
        if asked.echo:
            raise InvalidField("echo", f"Pipeline {asked.model} does not continue its prompts; leave 'echo' out.")
        if not all(isinstance(prompt, str) for prompt in query.inputs):
            raise InvalidField("prompt", f"'prompt' has token ids; pipeline {asked.model} takes only texts.")
    asked.version = description.version
    return query.changed(parameters=parameters_for(task, fields, _FIELDS, asked))
