"""feature-extraction: token vectors as the pipeline returns them, or pooled to one vector per input."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from inference.backends.base import Outcome
from inference.backends.transformers.embedder import NO_SETTINGS, Embedder
from inference.backends.transformers.encoder import to_array, truncates
from inference.backends.transformers.pooling import average, pooled_by
from inference.backends.transformers.rows import Row, TokenizedJob, check_length
from inference.backends.transformers.sequences import TextOrPair
from inference.backends.transformers.task import TransformersTask
from inference.errors import Invalid
from inference.messaging.messages import Job


class FeatureExtraction(Embedder):
    """Pooling happens here rather than at the client: the token vectors of one input may be a megabyte of JSON."""

    def sequences(self, job: Job) -> Sequence[TextOrPair]:
        self._check(job)
        return [self._text(job)]

    def limit(self, job: Job) -> int:
        return self.own_limit() if self._own_way(job) else self.description.longest_input

    def fitted(self, job: Job, own: Sequence[TextOrPair], rows: list[Row]) -> TokenizedJob:
        if job.parameters.get("chunk") and rows[0].length > self.limit(job):
            rows = self._row_maker.windows(self._text(job), self.limit(job))
        return super().fitted(job, own, rows)

    def checked(self, job: Job, rows: list[Row]) -> TokenizedJob:
        check_length(rows[0].length, self.limit(job))
        pooling = self._pooling(job)
        if pooling == "model":
            prompt_tokens = [self.tokens_of(self._prompt(job)), *[0] * (len(rows) - 1)]
            rows = [self.own_pooling(row, tokens) for row, tokens in zip(rows, prompt_tokens, strict=True)]
        elif pooling != "none":
            rows = [self.with_pooling(row, partial(pooled_by, pooling)) for row in rows]
        return TokenizedJob(job, rows)

    def finish(self, item: TokenizedJob, rows: list[dict[str, Any]]) -> Any:
        return self._vectors(item, rows).tolist()

    def _answer(self, item: TokenizedJob, rows: list[dict[str, Any]]) -> Outcome:
        return to_array(self._vectors(item, rows)) if item.job.arrays else super()._answer(item, rows)

    def _vectors(self, item: TokenizedJob, rows: list[dict[str, Any]]) -> torch.Tensor:
        """``[1, tokens, size]``, or ``[size]`` where they are pooled. Parts of a long text count by their tokens."""
        given, pooling = item.job.parameters, self._pooling(item.job)
        own = self.embedding if pooling == "model" else None
        if pooling == "none":
            found: torch.Tensor = rows[0]["last_hidden_state"].float()
        else:
            found = average([row["pooled"] for row in rows], [row.length for row in item.rows])
        if own:
            found = own.finished(found)
        normalizes = given.get("normalize", bool(own and own.normalizes))
        if (wanted := given.get("dimensions", 0)) > (size := found.shape[-1]):
            raise Invalid(f"Parameter dimensions is {wanted}; vectors of this model have {size} numbers.")
        if wanted:
            found = found[:, :wanted]
        if normalizes:
            found = torch.nn.functional.normalize(found, dim=-1)
        return found if pooling == "none" else found[0]

    def _check(self, job: Job) -> None:
        """Raises ``Invalid`` for parameters that do not go together, or not with this model."""
        given, pooling = job.parameters, self._pooling(job)
        if pooling == "model" and self.embedding is None:
            raise Invalid(f"This model {self.not_understood or NO_SETTINGS}; choose the pooling mean or cls.")
        if pooling == "none" and given.get("dimensions"):
            raise Invalid("Parameter dimensions is for one vector per input; choose a pooling other than none.")
        if given.get("chunk") and pooling not in ("mean", "model"):
            raise Invalid(f"Parameter chunk needs the pooling mean or model, and pooling is {pooling}.")
        if given.get("chunk") and truncates(job):
            raise Invalid("chunk reads all of a text and truncate only a part; leave one of them out.")

    def _text(self, job: Job) -> str:
        prompt: str = self._prompt(job)
        return self.read(job.input, prompt) if self._own_way(job) else prompt + job.input

    def _prompt(self, job: Job) -> str:
        name = job.parameters.get("prompt_name")
        return self.prompt(name) if name is not None or self._own_way(job) else ""

    def _pooling(self, job: Job) -> str:
        pooling: str = job.parameters.get("pooling", "none")
        if pooling != "auto":
            return pooling
        return "model" if self.embedding or self.not_understood else "mean"

    def _own_way(self, job: Job) -> bool:
        """The one of the checkpoint's own settings is asked for."""
        return self._pooling(job) == "model"


TASK = TransformersTask(
    auto_class="AutoModel",
    architectures=("Model",),
    # Checkpoints of masked language models have no pooler, and it is not used here.
    optional_weights=("pooler.",),
    encoder=FeatureExtraction,
)
