"""A question about a table."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from inference.errors import EmptyInput, Invalid
from inference.tasks.inputs.base import InputForm, Model, check_characters, check_fields, check_text, part_of
from inference.tasks.schemas import TEXT, Schema, fields, items
from inference.tasks.values import json_type

TABLE = '{"query": "a text", "table": {"name": ["Ada", "Alan"], "born": ["1815", "1912"]}}'
MOST_CELLS = 10_000


@dataclass(frozen=True)
class TableInput(InputForm):
    """Such as ``TABLE``: columns of equal length, by their names. All cells are texts."""

    form = "table"
    plain = False

    def checked(self, where: str, value: Any, model: Model, *, cut: bool = False) -> Any:
        check_fields(where, value, ("query", "table"), TABLE)
        check_text(f"The query of {part_of(where)}", value["query"], model)
        _check_table(f"The table of {part_of(where)}", value["table"])
        check_characters(f"The table of {part_of(where)}", [*_texts(value["table"])], model, cut=cut)
        return value

    def schema(self) -> Schema:
        column = items({"type": "string"}, 1, MOST_CELLS)
        return fields(query=TEXT, table={"type": "object", "additionalProperties": column, "minProperties": 1})

    def texts(self, value: Any) -> Sequence[str]:
        return [value["query"], *_texts(value["table"])]

    def changed(self, value: Any, change: Callable[[str], str]) -> Any:
        table = {name: [*map(change, cells)] for name, cells in value["table"].items()}
        return {"query": change(value["query"]), "table": table}


def _texts(table: dict[str, list[str]]) -> Iterator[str]:
    return chain(table, *table.values())


def _check_table(where: str, table: Any) -> None:
    if not isinstance(table, dict):
        raise Invalid(f"{where} is {json_type(table)}; it must be an object with a list of texts for each column.")
    for name, cells in table.items():
        _check_column(where, ascii(name[:60]), cells)
    rows = {len(cells) for cells in table.values()}
    if len(rows) > 1:
        raise Invalid(f"{where} has columns of {min(rows)} to {max(rows)} cells; they must be of one length.")
    if not rows or not any(rows):
        raise EmptyInput(f"{where} has no {'rows' if rows else 'columns'}; send at least one.")
    if (cells := len(table) * rows.pop()) > MOST_CELLS:
        raise Invalid(f"{where} has {cells} cells; it may have {MOST_CELLS}.")


def _check_column(where: str, name: str, cells: Any) -> None:
    if not isinstance(cells, list):
        raise Invalid(f"{where} has a column {name} that is {json_type(cells)}; it must be a list of texts.")
    for row, cell in enumerate(cells):
        if not isinstance(cell, str):
            raise Invalid(f"{where} has {json_type(cell)} in row {row} of column {name}; send it as a text.")
