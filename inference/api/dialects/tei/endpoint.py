"""What the endpoints of text-embeddings-inference have in common."""

from collections.abc import Mapping
from typing import Any

from inference.api.dialects.base import Reply
from inference.api.dialects.json_endpoint import JsonEndpoint, given, json_headers, json_of, tokens_of
from inference.serving.context import RequestContext
from inference.serving.result import RequestResult

TRUNCATION = ("truncate", "truncation_direction")


class TEIEndpoint(JsonEndpoint):
    def reply(self, context: RequestContext, result: RequestResult) -> Reply:
        """Of one input, what the pipeline answers; of a list, a list."""
        times, written = result.times, b",".join(json_of(result))
        headers = [
            *json_headers(context),
            (b"x-compute-tokens", b"%d" % tokens_of(result)),
            (b"x-queue-time", b"%.3f" % times.queue_ms),
            (b"x-inference-time", b"%.3f" % times.inference_ms),
            (b"x-total-time", b"%.3f" % times.total_ms),
        ]
        return Reply(200, headers, b"[" + written + b"]" if result.query.many else written)


def truncation(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that say how inputs are cut; clients write the direction with a capital, too."""
    found = given(fields, TRUNCATION)
    if isinstance(direction := found.get("truncation_direction"), str):
        found["truncation_direction"] = direction.lower()
    return found
