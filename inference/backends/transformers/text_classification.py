"""text-classification."""

from typing import Any

from inference.backends.transformers.encoder import Encoder
from inference.backends.transformers.rows import TokenizedJob
from inference.backends.transformers.task import TransformersTask


class TextClassification(Encoder):
    def finish(self, item: TokenizedJob, rows: list[dict[str, Any]]) -> Any:
        result = super().finish(item, rows)
        return [result] if isinstance(result, dict) else result  # as the pipeline does for one text without top_k


TASK = TransformersTask(
    auto_class="AutoModelForSequenceClassification",
    architectures=("ForSequenceClassification",),
    encoder=TextClassification,
)
