"""text-classification."""

from collections.abc import Sequence
from typing import Any

from inference.backends.transformers.encoder import Encoder
from inference.backends.transformers.rows import TokenizedJob
from inference.backends.transformers.sequences import TextOrPair
from inference.backends.transformers.task import TransformersTask
from inference.messaging.messages import Job


class TextClassification(Encoder):
    def finish(self, item: TokenizedJob, rows: list[dict[str, Any]]) -> Any:
        result = super().finish(item, rows)
        # As the pipeline does for one text without top_k; a pair's it returns as it is.
        return [result] if isinstance(result, dict) and isinstance(item.job.input, str) else result

    def sequences(self, job: Job) -> Sequence[TextOrPair]:
        given = job.input
        return [given if isinstance(given, str) else (given["text"], given["text_pair"])]


TASK = TransformersTask(
    auto_class="AutoModelForSequenceClassification",
    architectures=("ForSequenceClassification",),
    encoder=TextClassification,
)
