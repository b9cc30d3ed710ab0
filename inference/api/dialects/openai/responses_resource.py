"""The object ``response``, with all fields that https://www.openresponses.org requires."""

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from inference.api.dialects.openai import answers, logprobs
from inference.api.dialects.openai.calls import parsed
from inference.api.dialects.openai.generating import Asked
from inference.api.dialects.openai.responses_fields import told_format
from inference.api.dialects.openai.responses_tools import told_tools
from inference.api.dialects.openai.until_stop import Placed
from inference.serving.context import RequestContext
from inference.serving.result import RequestResult

INCOMPLETE = {"reason": "max_output_tokens"}


def resource(context: RequestContext, asked: Asked, status: str, **fields: Any) -> dict[str, Any]:
    """What a response says at any time; ``fields``: what it says now beside that."""
    given = asked.fields
    echoed = ("previous_response_id", "instructions", "user", "max_output_tokens", "max_tool_calls")
    return {
        "id": response_id(context),
        "object": "response",
        "created_at": int(context.received_at),
        "completed_at": int(time.time()) if status == "completed" else None,
        "status": status,
        "incomplete_details": INCOMPLETE if status == "incomplete" else None,
        "model": asked.pipeline,
        **{name: given.get(name) for name in (*echoed, "safety_identifier", "prompt_cache_key")},
        "output": [],
        "error": None,
        "tools": told_tools(asked.tools),
        "tool_choice": given.get("tool_choice", "auto"),
        "parallel_tool_calls": given.get("parallel_tool_calls", True),
        "truncation": "disabled",
        "text": {"format": told_format(given)},
        "reasoning": None,
        "temperature": given.get("temperature", 1.0),
        "top_p": given.get("top_p", 1.0),
        "presence_penalty": given.get("presence_penalty", 0),
        "frequency_penalty": given.get("frequency_penalty", 0),
        "top_logprobs": asked.top_logprobs or 0,
        "usage": None,
        "store": False,
        "background": False,
        "service_tier": "default",
        "metadata": given.get("metadata", {}),
        **fields,
    }


def response_id(context: RequestContext) -> str:
    return f"resp_{context.id}"


def item_id(context: RequestContext) -> str:
    return f"msg_{context.id}"


def item(context: RequestContext, status: str, content: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": item_id(context),
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def call_item(context: RequestContext, number: int, call: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"fc_{context.id}_{number}",
        "type": "function_call",
        "status": "completed",
        "call_id": call["id"],
        **call["function"],
    }


def calls_in(context: RequestContext, asked: Asked, text: str) -> tuple[str, list[dict[str, Any]]]:
    """The text before calls, and the calls."""
    return parsed(text, asked.tools.names, f"call_{context.id}_") if asked.tools else (text, [])


def items(context: RequestContext, asked: Asked, status: str, choice: answers.Choice) -> list[dict[str, Any]]:
    """A message, unless there are only calls, and the calls."""
    if asked.tools is None:
        return [item(context, status, [part(choice.text, choice.tokens)])]
    text = choice.text if isinstance(choice.text, str) else msgspec.json.decode(choice.text, type=str)
    text, calls = calls_in(context, asked, text)
    message = item(context, "completed" if calls else status, [part(text, [] if calls else choice.tokens)])
    made = [call_item(context, number, call) for number, call in enumerate(calls)]
    return [message, *made] if text or not calls else made


def part(text: str | msgspec.Raw, tokens: Sequence[Placed]) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "text": text, "logprobs": of_tokens(tokens)}


def of_tokens(tokens: Sequence[Placed]) -> list[dict[str, Any]]:
    """As those of a chat, but all with bytes."""
    told: list[dict[str, Any]] = logprobs.of_chat(tokens)["content"]
    for token in told:
        for top in token["top_logprobs"]:
            top["bytes"] = list(top["token"].encode()) if top["bytes"] is None else top["bytes"]
    return told


def used(result: RequestResult) -> dict[str, Any] | None:
    usage = answers.usage(result)
    return usage and {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": usage["prompt_tokens_details"] | {"cache_write_tokens": 0},
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage["total_tokens"],
    }
