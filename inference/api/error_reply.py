"""The answer to a request that ends in an error before anything else of it was answered."""

from inference.api.dialects.base import Dialect, Reply
from inference.errors import InferenceError
from inference.serving.context import RequestContext

REPEATS_AT_ONCE = "@huggingface/inference/"
"""In the ``User-Agent`` of huggingface.js, which sends a request again after 503: at once, without a limit."""


def error_reply(dialect: Dialect, context: RequestContext, error: InferenceError, user_agent: str) -> Reply:
    """As the dialect writes it; 429 instead of 503 for a client that would not wait.

    Args:
        user_agent: the header of this name, or an empty text.
    """
    reply = dialect.error(context, error)
    if reply.status == 401:
        reply.headers.append((b"www-authenticate", b"Bearer"))
    if reply.status != 503 or REPEATS_AT_ONCE not in user_agent:
        return reply
    waits = [] if any(name == b"retry-after" for name, _ in reply.headers) else [(b"retry-after", b"1")]
    return Reply(429, [*reply.headers, *waits], reply.body)
