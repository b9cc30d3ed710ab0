"""``POST /embed``: a vector for each text."""

from typing import Any

from inference.api.dialects import json_docs
from inference.api.dialects.doc import Doc
from inference.api.dialects.json_endpoint import given
from inference.api.dialects.tei.endpoint import TRUNCATION, TEIEndpoint, truncation
from inference.serving.query import Query
from inference.tasks.base import Task


class Embed(TEIEndpoint):
    path = "/embed"
    example = '{"inputs": ["a text", "another text"]}'
    required = ("inputs",)
    optional = ("normalize", "dimensions", "prompt_name", "encoding_format", *TRUNCATION)
    """``encoding_format`` has no effect: the clients that send it read numbers all the same."""
    needs = "makes vectors of texts"

    def serves(self, task: Task) -> bool:
        return task.output == "vectors" and not task.input.media

    def query(self, fields: dict[str, Any]) -> Query:
        parameters = {"normalize": True} | given(fields, ("normalize", "dimensions", "prompt_name"))
        query = Query.of(fields["inputs"], parameters={"pooling": "auto"} | parameters | truncation(fields))
        return query.changed(many=True)

    def described(self) -> Doc:
        return json_docs.embed(self)
