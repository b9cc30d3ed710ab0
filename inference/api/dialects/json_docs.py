"""What the OpenAPI document says of the endpoints that rank, embed, classify and compare texts."""

import json
from typing import TYPE_CHECKING

from inference.api.dialects.doc import JSON, Body, Doc, parameter_schema
from inference.tasks.outputs import STRING, WHOLE
from inference.tasks.parameters import TRUNCATE, TRUNCATION_DIRECTION
from inference.tasks.schemas import NUMBER, TEXT, Schema, fields, items, one_of

if TYPE_CHECKING:
    from inference.api.dialects.json_endpoint import JsonEndpoint

_FLAG: Schema = {"type": "boolean"}
_WITHOUT_EFFECT: Schema = {"description": "has no effect"}
_TEXTS = items(TEXT, 1)
_FIELDS: dict[str, Schema] = {
    "query": TEXT,
    "documents": items(one_of(TEXT, fields(text=TEXT)), 1),
    "texts": _TEXTS,
    "top_n": WHOLE | {"minimum": 0, "description": "how many results, best first; 0: all"},
    "return_documents": _FLAG | {"description": "put each document beside its score"},
    "return_text": _FLAG | {"description": "put each text beside its score"},
    "raw_scores": _FLAG | {"description": "scores as the model gives them"},
    "normalize": _FLAG | {"description": "vectors of length 1"},
    "dimensions": WHOLE | {"minimum": 1, "description": "length that vectors are cut to"},
    "prompt_name": TEXT | {"description": "which of the model's prompts comes before the text"},
    "max_tokens_per_doc": WHOLE | {"description": "not less than the model takes"},
    "truncate": parameter_schema(TRUNCATE),
    "truncation_direction": {"enum": ["left", "right", "Left", "Right"], "description": TRUNCATION_DIRECTION.meaning},
    "parameters": {"type": "object", "description": "those of the pipeline's task"},
    "encoding_format": _WITHOUT_EFFECT,
    "priority": _WITHOUT_EFFECT,
    "user": _WITHOUT_EFFECT,
    "model": STRING | {"description": "name of the pipeline; by default the default one"},
}
"""But ``inputs``, which differ."""

_SCORE = fields("text", index=WHOLE, score=NUMBER, text=STRING)
_RESULTS = fields(
    id=STRING,
    model=STRING,
    results=items(fields("document", index=WHOLE, relevance_score=NUMBER, document=fields(text=STRING))),
    usage=fields(prompt_tokens=WHOLE, total_tokens=WHOLE),
    meta={"type": "object"},
)
_LABELS = items(fields(label=STRING, score=NUMBER))
_PAIR = items(TEXT, 2, 2)


def embed(endpoint: "JsonEndpoint") -> Doc:
    return _doc(endpoint, "A vector for each text", items(items(NUMBER)), inputs=one_of(TEXT, _TEXTS))


def predict(endpoint: "JsonEndpoint") -> Doc:
    inputs = one_of(TEXT, _PAIR, items(one_of(items(TEXT, 1, 1), _PAIR), 1))
    return _doc(endpoint, "All labels of each text, with scores", one_of(_LABELS, items(_LABELS)), inputs=inputs)


def similarity(endpoint: "JsonEndpoint") -> Doc:
    inputs = fields(source_sentence=TEXT, sentences=_TEXTS)
    return _doc(endpoint, "How close in meaning sentences are to another", items(NUMBER), inputs=inputs)


def rank_texts(endpoint: "JsonEndpoint") -> Doc:
    return _doc(endpoint, "Texts in the order in which they answer a query", items(_SCORE))


def rank_documents(endpoint: "JsonEndpoint") -> Doc:
    return _doc(endpoint, "Documents in the order in which they answer a query", _RESULTS)


def _doc(endpoint: "JsonEndpoint", summary: str, answer: Schema, **inputs: Schema) -> Doc:
    schemas = _FIELDS | inputs
    known = (*endpoint.required, *endpoint.optional, "model")
    body = fields(*endpoint.optional, "model", **{name: schemas[name] for name in known})
    return Doc(
        summary=summary,
        bodies={JSON: Body(body, json.loads(endpoint.example))},
        answers={JSON: answer},
        pipeline_field="model",
    )
