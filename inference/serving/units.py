"""In what usage is counted."""

import math

from inference.messaging.messages import Result


def units_of(result: Result) -> int:
    """Of one answer: tokens, read and generated; begun seconds of a recording; or else 1, as for an image."""
    if result.heard is not None:
        return math.ceil(result.heard.seconds)
    generated = result.generation.generated_tokens if result.generation else 0
    return result.tokens + generated or 1
