"""A query, and texts that may answer it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from inference.errors import EmptyInput, Invalid
from inference.tasks.inputs.base import InputForm, Model, check_fields, check_text, part_of
from inference.tasks.schemas import TEXT, Schema, fields, items
from inference.tasks.values import json_type

RANKING = '{"query": "a text", "texts": ["a text", "another text"]}'
MOST_TEXTS = 256


@dataclass(frozen=True)
class RankingInput(InputForm):
    """Such as ``RANKING``."""

    form = "ranking"
    plain = False

    def checked(self, where: str, value: Any, model: Model, *, cut: bool = False) -> Any:
        check_fields(where, value, ("query", "texts"), RANKING)
        texts = value["texts"]
        if not isinstance(texts, list):
            raise Invalid(f"{where} has texts that are {json_type(texts)}; they must be a list of texts.")
        if not texts:
            raise EmptyInput(f"{where} has no texts; send at least one.")
        if len(texts) > MOST_TEXTS:
            raise Invalid(f"{where} has {len(texts)} texts; it may have {MOST_TEXTS}.")
        check_text(f"The query of {part_of(where)}", value["query"], model, cut=cut)
        for number, text in enumerate(texts):
            check_text(f"texts[{number}] of {part_of(where)}", text, model, cut=cut)
        return value

    def schema(self) -> Schema:
        return fields(query=TEXT, texts=items(TEXT, 1, MOST_TEXTS))

    def texts(self, value: Any) -> Sequence[str]:
        """The query comes first."""
        return [value["query"], *value["texts"]]

    def changed(self, value: Any, change: Callable[[str], str]) -> Any:
        return {"query": change(value["query"]), "texts": [*map(change, value["texts"])]}
