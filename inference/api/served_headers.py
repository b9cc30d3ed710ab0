"""Which pipeline, in which version of its model, has answered."""

from inference.api.dialects.base import Headers
from inference.serving.result import Served


def served_headers(served: Served) -> Headers:
    """Of every answer of a model over HTTP, in any dialect."""
    return [(b"x-pipeline", served.pipeline.encode()), (b"x-model-version", served.version.encode())]
