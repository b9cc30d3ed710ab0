"""``POST /similarity``: how close in meaning each of several sentences is to another."""

from typing import Any

from inference.api.dialects import json_docs
from inference.api.dialects.doc import Doc
from inference.api.dialects.tei.endpoint import TEIEndpoint, truncation
from inference.serving.query import Query
from inference.tasks.base import Task


class Similarity(TEIEndpoint):
    path = "/similarity"
    example = '{"inputs": {"source_sentence": "a text", "sentences": ["a text", "another text"]}}'
    required = ("inputs",)
    optional = ("parameters",)
    needs = "compares sentences"

    def serves(self, task: Task) -> bool:
        return task.output == "scores"

    def query(self, fields: dict[str, Any]) -> Query:
        parameters = fields.get("parameters")
        if isinstance(parameters, dict):
            parameters = parameters | truncation(parameters)
        return Query(inputs=[fields["inputs"]], many=False, parameters=parameters)

    def described(self) -> Doc:
        return json_docs.similarity(self)
