"""sentence-similarity: cosine similarity of mean-pooled embeddings. transformers has no such pipeline."""

from typing import Any

import torch

from inference.backends.transformers.encoder import Encoder
from inference.backends.transformers.rows import Row, TokenizedJob, check_length
from inference.backends.transformers.task import TransformersTask
from inference.messaging.messages import Job


class SentenceSimilarity(Encoder):
    """The first row of a job is the source sentence."""

    token_outputs = ("last_hidden_state",)

    def finish(self, item: TokenizedJob, rows: list[dict[str, Any]]) -> Any:
        pooled = torch.cat([row["last_hidden_state"].float().mean(1) for row in rows])
        source, *others = torch.nn.functional.normalize(pooled, dim=-1)
        return (torch.stack(others) @ source).tolist()

    def checked(self, job: Job, rows: list[Row]) -> TokenizedJob:
        source, *others = rows
        check_length(source.length, self.description.longest_input, "The source_sentence")
        for number, row in enumerate(others):
            check_length(row.length, self.description.longest_input, f"sentences[{number}]")
        return TokenizedJob(job, rows)


TASK = TransformersTask(
    auto_class="AutoModel",
    optional_weights=("pooler.",),
    pipeline="feature-extraction",
    encoder=SentenceSimilarity,
)
