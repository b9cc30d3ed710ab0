"""text-ranking: a row for each text, which a cross-encoder reads together with the query."""

from collections.abc import Sequence
from typing import Any

import torch

from inference.backends.base import LoadFailed
from inference.backends.transformers.encoder import Encoder
from inference.backends.transformers.rows import Row, TokenizedJob, check_length
from inference.backends.transformers.sequences import TextOrPair
from inference.backends.transformers.task import TransformersTask
from inference.messaging.messages import Job


class TextRanking(Encoder):
    def sequences(self, job: Job) -> Sequence[TextOrPair]:
        return [(job.input["query"], text) for text in job.input["texts"]]

    def checked(self, job: Job, rows: list[Row]) -> TokenizedJob:
        for number, row in enumerate(rows):
            check_length(row.length, self.description.longest_input, f"texts[{number}] with the query")
        return TokenizedJob(job, rows, dict(job.parameters))

    def finish(self, item: TokenizedJob, rows: list[dict[str, Any]]) -> Any:
        scores = torch.cat([row["logits"] for row in rows]).float()[:, 0]
        if not item.postprocess.get("raw_scores"):
            scores = scores.sigmoid()
        ranking: list[dict[str, Any]] = [
            {"index": index, "score": score} for index, score in enumerate(scores.tolist())
        ]
        ranking.sort(key=lambda ranked: ranked["score"], reverse=True)
        if item.postprocess.get("return_text"):
            for ranked in ranking:
                ranked["text"] = item.job.input["texts"][ranked["index"]]
        return ranking[: item.postprocess.get("top_n")]


def check_labels(model: str, config: Any) -> None:
    """Raises ``LoadFailed``. The weights of any classifier would fit, but which label would be the score?"""
    if config.num_labels != 1:
        raise LoadFailed(
            f"{model} has {config.num_labels} labels; text-ranking needs a model with one, "
            "which says how well a text answers a query."
        )


TASK = TransformersTask(
    auto_class="AutoModelForSequenceClassification",
    check=check_labels,
    pipeline="text-classification",
    encoder=TextRanking,
)
