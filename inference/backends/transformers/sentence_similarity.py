"""sentence-similarity: cosine similarity of embeddings. transformers has no such pipeline.

They are made in the way of the checkpoint's own settings, or are the means of the token vectors.
"""

from collections.abc import Sequence
from typing import Any

import torch

from inference.backends.base import LoadFailed
from inference.backends.transformers.embedder import Embedder
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.rows import Row, TokenizedJob, check_length
from inference.backends.transformers.sequences import TextOrPair
from inference.backends.transformers.task import TransformersTask
from inference.conf import Conf
from inference.messaging.messages import Job


class SentenceSimilarity(Embedder):
    """The first row of a job is the source sentence."""

    def __init__(self, loaded: Loaded, conf: Conf) -> None:
        super().__init__(loaded, conf)
        if self.not_understood:
            raise LoadFailed(
                f"{loaded.name} {self.not_understood}, so its embeddings would not be what it was made for."
            )

    def sequences(self, job: Job) -> Sequence[TextOrPair]:
        return [self.read(text, self.prompt(None)) for text in self._form.texts(job.input)]

    def limit(self, job: Job) -> int:
        return self.own_limit()

    def checked(self, job: Job, rows: list[Row]) -> TokenizedJob:
        source, *others = rows
        check_length(source.length, self.limit(job), "The source_sentence")
        for number, row in enumerate(others):
            check_length(row.length, self.limit(job), f"sentences[{number}]")
        prompt_tokens = self.tokens_of(self.prompt(None))
        return TokenizedJob(job, [self.own_pooling(row, prompt_tokens) for row in rows])

    def finish(self, item: TokenizedJob, rows: list[dict[str, Any]]) -> Any:
        pooled = torch.cat(
            [self.embedding.finished(row["pooled"]) if self.embedding else row["pooled"] for row in rows]
        )
        source, *others = torch.nn.functional.normalize(pooled, dim=-1)
        return (torch.stack(others) @ source).tolist()


TASK = TransformersTask(
    auto_class="AutoModel",
    optional_weights=("pooler.",),
    pipeline="feature-extraction",
    encoder=SentenceSimilarity,
)
