"""``POST /rerank``: texts in the order in which they answer a query; with ``documents``, as Jina's clients ask."""

from typing import Any

from inference.api.dialects import json_docs
from inference.api.dialects.base import Head, Reply
from inference.api.dialects.doc import Doc
from inference.api.dialects.json_endpoint import given
from inference.api.dialects.rerank import RerankEndpoint
from inference.api.dialects.tei.endpoint import TRUNCATION, TEIEndpoint, truncation
from inference.serving.context import RequestContext
from inference.serving.deployment import Deployment
from inference.serving.query import Query
from inference.serving.result import RequestResult
from inference.tasks.base import Task


class Rerank(TEIEndpoint):
    path = "/rerank"
    example = '{"query": "a text", "texts": ["a text", "another text"]}'
    required = ("query", "texts")
    optional = ("raw_scores", "return_text", *TRUNCATION)
    needs = RerankEndpoint.needs

    def __init__(self) -> None:
        self._of_documents = RerankEndpoint(self.path, documents=True)

    def serves(self, task: Task) -> bool:
        return self._of_documents.serves(task)

    def read_object(self, fields: dict[str, Any], head: Head, deployment: Deployment) -> Query:
        if "documents" in fields:
            return self._of_documents.read_object(fields, head, deployment)
        return super().read_object(fields, head, deployment)

    def query(self, fields: dict[str, Any]) -> Query:
        texts = {"query": fields["query"], "texts": fields["texts"]}
        return Query(
            inputs=[texts], many=False, parameters=given(fields, ("raw_scores", "return_text")) | truncation(fields)
        )

    def reply(self, context: RequestContext, result: RequestResult) -> Reply:
        if result.query.state is not None:
            return self._of_documents.reply(context, result)
        return super().reply(context, result)

    def described(self) -> Doc:
        return json_docs.rank_texts(self)
