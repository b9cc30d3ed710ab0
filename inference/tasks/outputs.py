"""What the answer to one input looks like, by output kind, as the transformers pipelines return it."""

from collections.abc import Mapping

from inference.tasks.base import Output
from inference.tasks.schemas import BASE64, NUMBER, Schema, fields, items, one_of

STRING: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
PROBABILITY: Schema = NUMBER

_label = fields(label=STRING, score=PROBABILITY)
_span = fields(
    "entity", "entity_group", "index",
    entity=STRING, entity_group=STRING, index=WHOLE, score=NUMBER, word=STRING, start=WHOLE, end=WHOLE,
)  # fmt: skip
_fill = fields(score=NUMBER, token=WHOLE, token_str=STRING, sequence=STRING)
_answer = fields("start", "end", answer=STRING, score=NUMBER, start=WHOLE, end=WHOLE)
_box = fields(xmin=WHOLE, ymin=WHOLE, xmax=WHOLE, ymax=WHOLE)
_numbers = items(NUMBER)

OUTPUTS: Mapping[Output, Schema] = {
    "labels": one_of(items(_label), fields(sequence=STRING, labels=items(STRING), scores=_numbers)),
    "spans": items(_span),
    "fills": one_of(items(_fill), items(items(_fill))),
    "vectors": one_of(_numbers, items(_numbers), items(items(_numbers))),
    "scores": _numbers,
    "ranking": items(fields("text", index=WHOLE, score=NUMBER, text=STRING)),
    "text": items({"type": "object"}),
    "answers": one_of(_answer, items(_answer)),
    "cells": fields(
        "aggregator", answer=STRING, coordinates=items(items(WHOLE)), cells=items(STRING), aggregator=STRING
    ),
    "boxes": items(fields(score=NUMBER, label=STRING, box=_box)),
    "masks": items(fields("score", score=NUMBER, label=STRING, mask=BASE64)),
    "depth": {"type": "object", "properties": {"depth": BASE64}},
    "media": {},
    "transcript": {
        "type": "object",
        "properties": {"text": STRING, "chunks": items({"type": "object"})},
        "required": ["text"],
    },
    "decisions": {"type": "object", "additionalProperties": {"type": "object"}},
}
"""An answer of media is the body itself; it has no schema."""
