"""What the answers of chats and of completions have in common."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from inference.api.dialects.base import Reply
from inference.api.dialects.openai.generating import Asked
from inference.api.dialects.openai.until_stop import Placed, UntilStop, cut
from inference.messaging.messages import FinishReason
from inference.serving.context import RequestContext
from inference.serving.result import Outcome, RequestResult
from inference.tasks import TASKS

_answer = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


class Choice(NamedTuple):
    number: int
    text: str | msgspec.Raw
    tokens: list[Placed]
    """If the request asks for them."""
    finish_reason: str


def common_fields(context: RequestContext, asked: Asked, kind: str, prefix: str) -> dict[str, Any]:
    """Those of an answer and of all its chunks."""
    return {
        "id": prefix + context.id,
        "object": kind,
        "created": int(context.received_at),
        "model": asked.pipeline,
        "system_fingerprint": asked.version,
    }


def choices(result: RequestResult, asked: Asked) -> Iterator[Choice]:
    field = TASKS[result.description.task].text_field
    for index, outcome in enumerate(result.outcomes):
        reason = _finish_reason(outcome)
        if asked.top_logprobs is None:
            yield Choice(index, _text(outcome, field, asked), [], reason)
            continue
        until_stop, generated = UntilStop(asked.stop), result.generations[index].tokens
        pushed = [until_stop.push(token, last=token is generated[-1]) for token in generated]
        tokens = [placed for _, some in pushed for placed in some]
        yield Choice(index, "".join(text for text, _ in pushed), tokens, reason)


def usage(result: RequestResult) -> dict[str, Any] | None:
    """Prompts count once, however many choices they have; ``None`` if the pipeline does not count what it generates."""
    results = [outcome.result for outcome in result.outcomes if outcome.result is not None]
    generations = [each.generation for each in results if each.generation is not None]
    if len(generations) < len(results):
        return None
    once = slice(None, None, result.query.choices)
    prompts, generated = sum(each.tokens for each in results[once]), sum(each.generated_tokens for each in generations)
    return {
        "prompt_tokens": prompts,
        "prompt_tokens_details": {"cached_tokens": sum(each.cached_tokens for each in generations[once])},
        "completion_tokens": generated,
        "total_tokens": prompts + generated,
    }


def finish_reason(reason: FinishReason | str) -> str:
    return "length" if reason == "length" else "stop"


def reply(context: RequestContext, fields: dict[str, Any]) -> Reply:
    headers = [(b"content-type", b"application/json"), (b"x-request-id", context.id.encode())]
    return Reply(200, headers, msgspec.json.encode(fields))


def _finish_reason(outcome: Outcome) -> str:
    generation = outcome.result.generation if outcome.result is not None else None
    return finish_reason(generation.finish_reason if generation is not None else "eos_token")


def _text(outcome: Outcome, field: str, asked: Asked) -> str | msgspec.Raw:
    """As the worker wrote it, unless something must be cut off or put before it."""
    output = outcome.output
    assert isinstance(output, bytes)  # noqa: S101 - only tasks with texts are asked
    text = _answer.decode(output)[0][field]
    return cut(msgspec.json.decode(text, type=str), asked.stop) if asked.stop or asked.echo else text
