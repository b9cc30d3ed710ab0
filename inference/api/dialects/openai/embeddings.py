"""``POST /v1/embeddings``: a vector of length 1 for each text."""

from array import array
from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec

from inference.api.dialects.base import Head, Reply, Writer
from inference.api.dialects.doc import Doc
from inference.api.dialects.json_endpoint import tokens_of
from inference.api.dialects.openai import answers, docs
from inference.api.dialects.openai.errors import InvalidField
from inference.api.dialects.openai.fields import Fields, check_known, read, read_fields, required, shown, unsuited
from inference.api.dialects.openai.models import asked_pipeline
from inference.api.dialects.reading import DeadlineInHeader
from inference.messaging.messages import Description
from inference.serving.context import RequestContext
from inference.serving.deployment import Deployment
from inference.serving.query import Query
from inference.serving.result import RequestResult
from inference.tasks import TASKS
from inference.tasks.arrays import Array
from inference.tasks.base import Task
from inference.tasks.parameters import Choice

PATH = "/v1/embeddings"
EXAMPLE = '{"input": "a text"}'
BASE64 = "base64"
DEFAULTS = {"pooling": "auto", "normalize": True}

_FIELDS = ("input", "model", "encoding_format")
"""The others are the pipeline's own parameters, ``dimensions`` among them."""
_FORMAT = Choice(("float", BASE64))
_FOREIGN_IDS = (
    "'input' has token ids, which are taken for those of OpenAI's tokenizer and not of this model; send texts "
    "(LangChain sends them with check_embedding_ctx_length=False)."
)


class Embeddings(DeadlineInHeader):
    method = "POST"
    path = PATH
    pipeline_in_body = True

    def read(self, head: Head, body: bytes, deployment: Deployment) -> Query:
        fields = read_fields(body, EXAMPLE)
        pipeline = asked_pipeline(head, fields.get("model"), deployment).name
        texts = read_texts(required(fields, "input", EXAMPLE))
        return Query(
            inputs=texts,
            many=len(texts) > 1,
            pipeline=pipeline,
            arrays=read(fields, "encoding_format", _FORMAT) == BASE64,
            deadline_s=self.deadline_s(head.header(self.deadline_header), deployment.conf.max_deadline_s),
            adapt=partial(_adapted, fields, pipeline),
        )

    def reply(self, context: RequestContext, result: RequestResult) -> Reply:
        data = [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(_written(result))
        ]
        tokens = tokens_of(result)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return answers.reply(context, {"object": "list", "data": data, "model": result.served.pipeline, "usage": usage})

    def writer(self, context: RequestContext, query: Query) -> Writer:
        raise NotImplementedError("no query of this endpoint streams")

    def doc(self, task: Task | None) -> Doc | None:
        return docs.embeddings(task, EXAMPLE, _FORMAT) if task is None or _makes_vectors(task) else None


def read_texts(given: Any) -> list[str]:
    """Raises ``InvalidField``."""
    texts = given if isinstance(given, list) else [given]
    if not texts:
        raise InvalidField("input", "'input' is an empty list; send a text or a list of texts.")
    for number, text in enumerate(texts):
        if isinstance(text, int | list):
            raise InvalidField("input", _FOREIGN_IDS)
        if not isinstance(text, str) or not text.strip():
            where = f"'input[{number}]'" if isinstance(given, list) else "'input'"
            raise InvalidField("input", f"{where} is {shown(text)}; it must be a text that is not empty.")
    return texts


def _makes_vectors(task: Task) -> bool:
    return task.output == "vectors" and not task.input.media


def _adapted(fields: Fields, pipeline: str, query: Query, description: Description) -> Query:
    task = TASKS[description.task]
    if not _makes_vectors(task):
        raise unsuited(pipeline, description, PATH, "that makes vectors of texts")
    check_known(fields, (*_FIELDS, *task.parameters))
    given = {name: read(fields, name, known.kind) for name, known in task.parameters.items() if name in fields}
    if given.get("pooling") == "none":
        raise InvalidField("pooling", "'pooling' is none, which gives many vectors for a text; leave it out.")
    return query.changed(parameters=DEFAULTS | given)


def _written(result: RequestResult) -> Iterator[bytes | msgspec.Raw]:
    """Bytes are written in base64. A worker of the release before answers in JSON, whatever is asked."""
    for output in result.outputs:
        if isinstance(output, Array):
            yield output.data
        elif isinstance(output, bytes):
            yield array("f", msgspec.json.decode(output)).tobytes() if result.query.arrays else msgspec.Raw(output)
