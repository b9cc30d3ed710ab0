"""Runs in web processes: the dialect of ``/v1/``, which OpenAI's clients speak.

In: JSON as https://platform.openai.com/docs/api-reference describes it. Out: its answers, chunks and errors. The field
``model`` selects the pipeline.
"""

from collections.abc import Callable, Mapping

from inference.api.dialects.base import Endpoint, Reply, Resource, Socket
from inference.api.dialects.openai.chat import ChatCompletions
from inference.api.dialects.openai.completions import Completions
from inference.api.dialects.openai.docs import ERROR
from inference.api.dialects.openai.embeddings import Embeddings
from inference.api.dialects.openai.errors import write_error
from inference.api.dialects.openai.models import ModelList, OneModel
from inference.api.dialects.openai.responses import Responses
from inference.api.dialects.openai.responses_socket import ResponsesSocket
from inference.api.dialects.openai.speech import Speech
from inference.api.dialects.openai.transcriptions import Transcriptions
from inference.errors import InferenceError
from inference.serving.context import RequestContext


class OpenAIDialect:
    name = "openai"
    prefixes = ("/v1/",)
    endpoints: tuple[Endpoint, ...] = (
        ChatCompletions(),
        Completions(),
        Embeddings(),
        Responses(),
        Transcriptions("/v1/audio/transcriptions"),
        Transcriptions("/v1/audio/translations", "translate"),
        Speech(),
    )
    resources: tuple[Resource, ...] = (
        ModelList(),
        OneModel("/v1/models/{model}"),
        OneModel("/v1/models/{owner}/{model}"),
    )
    sockets: Mapping[str, Callable[[], Socket]] = {Responses.path: ResponsesSocket}
    error_schema = ERROR

    def error(self, context: RequestContext, error: InferenceError) -> Reply:
        return write_error(context, error)


DIALECT = OpenAIDialect()
