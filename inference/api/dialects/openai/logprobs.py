"""Single tokens and their probabilities, as chats and completions have them."""

from collections.abc import Sequence
from typing import Any

from inference.api.dialects.openai.until_stop import Placed

LEAST = -9999.0
"""In the place of minus infinity, which JSON does not have."""
BROKEN = "\ufffd"
"""In a text: bytes that are no whole character."""


def of_chat(tokens: Sequence[Placed]) -> dict[str, Any]:
    return {
        "content": [
            {
                **_token(token.data.decode(errors="replace"), token.logprob, token.data),
                "top_logprobs": [_token(text, logprob) for _, text, logprob in token.top],
            }
            for token, _ in tokens
        ]
    }


def _token(text: str, logprob: float, data: bytes | None = None) -> dict[str, Any]:
    if data is None and BROKEN not in text:
        data = text.encode()
    return {"token": text, "logprob": max(logprob, LEAST), "bytes": None if data is None else list(data)}


def of_completion(tokens: Sequence[Placed]) -> dict[str, Any]:
    texts = [token.data.decode(errors="replace") for token, _ in tokens]
    return {
        "tokens": texts,
        "token_logprobs": [max(token.logprob, LEAST) for token, _ in tokens],
        "top_logprobs": [
            {each: max(logprob, LEAST) for _, each, logprob in token.top} | {text: max(token.logprob, LEAST)}
            for text, (token, _) in zip(texts, tokens, strict=True)
        ],
        "text_offset": [start for _, start in tokens],
    }
