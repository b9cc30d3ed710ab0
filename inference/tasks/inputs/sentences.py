"""A sentence and others to compare with it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from inference.errors import EmptyInput, Invalid
from inference.tasks.inputs.base import InputForm, Model, check_fields, check_text, part_of
from inference.tasks.schemas import TEXT, Schema, fields, items
from inference.tasks.values import json_type

SENTENCES = '{"source_sentence": "a text", "sentences": ["a text", "another text"]}'
MOST_SENTENCES = 64


@dataclass(frozen=True)
class SentencesInput(InputForm):
    """Such as ``SENTENCES``. Each may be as long as a text."""

    form = "sentences"
    plain = False

    def checked(self, where: str, value: Any, model: Model, *, cut: bool = False) -> Any:
        check_fields(where, value, ("source_sentence", "sentences"), SENTENCES)
        sentences = value["sentences"]
        if not isinstance(sentences, list):
            raise Invalid(f"{where} has sentences that are {json_type(sentences)}; they must be a list of texts.")
        if not sentences:
            raise EmptyInput(f"{where} has no sentences; send at least one.")
        if len(sentences) > MOST_SENTENCES:
            raise Invalid(f"{where} has {len(sentences)} sentences; it may have {MOST_SENTENCES}.")
        check_text(f"The source_sentence of {part_of(where)}", value["source_sentence"], model, cut=cut)
        for number, sentence in enumerate(sentences):
            check_text(f"sentences[{number}] of {part_of(where)}", sentence, model, cut=cut)
        return value

    def schema(self) -> Schema:
        return fields(source_sentence=TEXT, sentences=items(TEXT, 1, MOST_SENTENCES))

    def texts(self, value: Any) -> Sequence[str]:
        """The source sentence comes first."""
        return [value["source_sentence"], *value["sentences"]]

    def changed(self, value: Any, change: Callable[[str], str]) -> Any:
        return {"source_sentence": change(value["source_sentence"]), "sentences": [*map(change, value["sentences"])]}
