"""``POST /predict``: all labels of each text or pair, with scores, the best one first."""

from typing import Any

from inference.api.dialects import json_docs
from inference.api.dialects.doc import Doc
from inference.api.dialects.tei.endpoint import TRUNCATION, TEIEndpoint, truncation
from inference.errors import Invalid
from inference.serving.query import Query
from inference.tasks.base import Task
from inference.tasks.inputs import TextOrPairInput
from inference.tasks.values import json_type

ALL_LABELS = 1000


class Predict(TEIEndpoint):
    path = "/predict"
    example = '{"inputs": "a text"}'
    required = ("inputs",)
    optional = ("raw_scores", *TRUNCATION)
    needs = "classifies texts"

    def serves(self, task: Task) -> bool:
        return task.output == "labels" and isinstance(task.input, TextOrPairInput)

    def query(self, fields: dict[str, Any]) -> Query:
        raw = fields.get("raw_scores")
        if not (raw is None or isinstance(raw, bool)):
            raise Invalid(f"'raw_scores' is {json_type(raw)}; it must be true or false.")
        scores = {"function_to_apply": "none"} if raw else {}
        inputs, parameters = fields["inputs"], {"top_k": ALL_LABELS} | scores | truncation(fields)
        if isinstance(inputs, list) and any(isinstance(each, list) for each in inputs):
            return Query(inputs=[_read(each) for each in inputs], many=True, parameters=parameters)
        return Query(inputs=[_read(inputs)], many=False, parameters=parameters)

    def described(self) -> Doc:
        return json_docs.predict(self)


def _read(given: Any) -> Any:
    """A text, alone or in a list, or a pair."""
    match given:
        case str(text) | [str(text)]:
            return text
        case [str(text), str(pair)]:
            return {"text": text, "text_pair": pair}
    raise Invalid(
        '\'inputs\' must be a text, a pair such as ["a text", "another text"], '
        'or a list of lists such as [["a text"], ["a text", "another text"]].'
    )
