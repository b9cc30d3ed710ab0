"""table-question-answering: models that read a table with the question, such as TAPAS. Their tokenizer needs pandas."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from inference.backends.base import LoadFailed
from inference.backends.transformers.encoder import to_json, truncates
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.rows import Row, TokenizedJob, check_length
from inference.backends.transformers.task import Report, TransformersTask
from inference.backends.transformers.unbatched import Unbatched
from inference.conf import Conf
from inference.errors import Invalid
from inference.messaging.messages import Job

ROW = 2
"""Which of a token's types is the number of its row, from 1."""


class TableQuestionAnswering(Unbatched):
    """One table after the other: each of its tokens has seven types, which rows of a batch do not have."""

    def _prepare(self, job: Job) -> TokenizedJob:
        cells = self._clipped(job.input["table"]) if truncates(job) else job.input["table"]
        self._check_size(cells)
        table = import_module("pandas").DataFrame(cells)
        try:
            inputs = self._tokenizer(
                table,
                job.input["query"],
                return_tensors="pt",
                truncation="drop_rows_to_fit" if truncates(job) else "do_not_truncate",
            )
        except ValueError as error:
            raise Invalid(f"This model's tokenizer cannot take the table: {error}.") from error
        ids = inputs["input_ids"][0].tolist()
        check_length(len(ids), self.description.longest_input, "The query with the table")
        if not (last_row := int(inputs["token_type_ids"][0, :, ROW].max())):
            raise Invalid("No row of the table fits beside the query; shorten the query or the cells.")
        item = TokenizedJob(job, [Row({"input_ids": ids}, {**inputs, "table": table})])
        item.truncated = cells != job.input["table"] or last_row < len(table)
        return item

    def _clipped(self, table: dict[str, list[str]]) -> dict[str, list[str]]:
        """Without rows and ends of cells that are too much in any case, since each cell has at least one token.

        What the tokenizer drops itself takes it a second for a few hundred rows.
        """
        columns, (most_rows, _) = len(table), self._limits()
        rows = min(most_rows, self.description.longest_input // columns + 1)
        chars = self.description.longest_input_chars // columns + 1
        return {name: [cell[:chars] for cell in cells[:rows]] for name, cells in table.items()}

    def _check_size(self, table: dict[str, list[str]]) -> None:
        """Raises ``Invalid``."""
        rows, columns, (most_rows, most_columns) = len(next(iter(table.values()))), len(table), self._limits()
        if rows > most_rows or columns > most_columns:
            raise Invalid(
                f"The table has {rows} rows and {columns} columns; this model takes {most_rows} and {most_columns}."
            )
        if (cells := rows * columns) > (longest := self.description.longest_input) + columns:
            raise Invalid(f"The table has {cells} cells; this model takes {longest} tokens, at least one for each.")

    def _limits(self) -> tuple[int, int]:
        """Rows and columns, which the model knows by number."""
        _, columns, rows, *_ = self._pipe.model.config.type_vocab_sizes
        return rows - 1, columns - 1

    def _call(self, item: Any) -> bytes:
        with torch.inference_mode():
            outputs = self._pipe.forward(dict(item.rows[0].extras))
        return to_json(self._pipe.postprocess(outputs))


def build(loaded: Loaded, conf: Conf, report: Report) -> TableQuestionAnswering:
    return TableQuestionAnswering(loaded)


def check_pandas(model: str, config: Any) -> None:
    """Raises ``LoadFailed``."""
    if config.model_type != "tapas":
        raise LoadFailed(f"{model} is a {config.model_type}, which does not read tables; choose a TAPAS checkpoint.")
    if find_spec("pandas") is None:
        raise LoadFailed(f"{model} has a tokenizer that needs pandas, which is not installed; pip install pandas.")


TASK = TransformersTask(
    auto_class="AutoModelForTableQuestionAnswering",
    architectures=("TapasForQuestionAnswering",),
    check=check_pandas,
    build=build,
)
