"""Documents in the order in which they answer a query: what the clients of Cohere and of Jina send and read.

Sources: https://docs.cohere.com/reference/rerank and https://api.jina.ai/redoc. One answer has the fields of both.
"""

from typing import Any

import msgspec

from inference.api.dialects import json_docs
from inference.api.dialects.base import Reply
from inference.api.dialects.doc import Doc
from inference.api.dialects.json_endpoint import JsonEndpoint, given, json_headers, json_of, tokens_of
from inference.errors import EmptyInput, Invalid
from inference.messaging.messages import Description
from inference.serving.context import RequestContext
from inference.serving.query import Query
from inference.serving.result import RequestResult
from inference.tasks.base import Task
from inference.tasks.inputs.base import check_text
from inference.tasks.values import json_type


class Ranked(msgspec.Struct):
    """One of the texts in a pipeline's answer."""

    index: int
    score: msgspec.Raw


_decoder = msgspec.json.Decoder(list[Ranked])


class RerankEndpoint(JsonEndpoint):
    """As those services do, it cuts documents that are too long, unless a request says otherwise.

    Args:
        documents: they are in the answer, unless a request says otherwise.
    """

    example = '{"query": "a text", "documents": ["a text", "another text"]}'
    required = ("query", "documents")
    optional = ("top_n", "return_documents", "raw_scores", "truncate", "max_tokens_per_doc", "priority", "user")
    """The last two have no effect."""
    needs = "ranks texts"

    def __init__(self, path: str, *, documents: bool) -> None:
        self.path = path
        self._documents = documents

    def serves(self, task: Task) -> bool:
        return task.output == "ranking"

    def query(self, fields: dict[str, Any]) -> Query:
        documents = fields["documents"]
        if not isinstance(documents, list):
            raise Invalid(f"'documents' is {json_type(documents)}; it must be a list of texts.")
        if not documents:
            raise EmptyInput("'documents' is an empty list; send at least one text.")
        returned = fields.get("return_documents")
        if not (returned is None or isinstance(returned, bool)):
            raise Invalid(f"'return_documents' is {json_type(returned)}; it must be true or false.")
        texts = [each.get("text") if isinstance(each, dict) else each for each in documents]
        parameters = {"truncate": True} | given(fields, ("top_n", "raw_scores", "truncate"))
        if parameters.get("top_n") == 0 and parameters["top_n"] is not False:  # in vLLM: all
            del parameters["top_n"]
        return Query(
            inputs=[{"query": fields["query"], "texts": texts}], many=False, parameters=parameters, state=fields
        )

    def adapted(self, query: Query, description: Description) -> Query:
        query = super().adapted(query, description)
        most, longest = query.state.get("max_tokens_per_doc"), description.longest_input
        if not (most is None or (isinstance(most, int) and most >= longest)):
            raise Invalid(
                f"'max_tokens_per_doc' must be a whole number from {longest} here, as documents are cut only where "
                "this model ends; or leave it out."
            )
        for number, text in enumerate(query.inputs[0]["texts"]):
            check_text(f"documents[{number}]", text, description, cut=True)
        return query

    def reply(self, context: RequestContext, result: RequestResult) -> Reply:
        query, tokens, (ranking,) = result.query, tokens_of(result), json_of(result)
        returned = query.state.get("return_documents")
        texts = query.inputs[0]["texts"] if (self._documents if returned is None else returned) else None
        answer = {
            "id": context.id,
            "model": result.served.pipeline,
            "results": [_written(each, texts) for each in _decoder.decode(ranking)],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            "meta": {"tokens": {"input_tokens": tokens}},
        }
        return Reply(200, json_headers(context), msgspec.json.encode(answer))

    def described(self) -> Doc:
        return json_docs.rank_documents(self)


def _written(ranked: Ranked, texts: list[str] | None) -> dict[str, Any]:
    document = {} if texts is None else {"document": {"text": texts[ranked.index]}}
    return {"index": ranked.index, "relevance_score": ranked.score, **document}
