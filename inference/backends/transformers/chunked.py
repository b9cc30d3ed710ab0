"""Pipelines that make several rows of an input, or want more back than the output: their own ``preprocess``."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from inference.backends.transformers.encoder import Encoder, attempt, pipeline_parameters, truncates
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.rows import Row, TokenizedJob
from inference.conf import Conf
from inference.errors import InferenceError, Invalid
from inference.messaging.messages import Job


class Chunked(Encoder):
    """``preprocess`` encodes with the pipeline's own tokenizer, so ``run`` must not: it only decodes."""

    def __init__(self, loaded: Loaded, conf: Conf) -> None:
        super().__init__(loaded, conf)
        # ``preprocess`` cuts to this; a tokenizer may have no limit of its own, or a higher one than the model.
        self._pipe.tokenizer.model_max_length = self.description.longest_input

    def prepare(self, jobs: Sequence[Job]) -> list[TokenizedJob | InferenceError]:
        return [attempt(job, self._prepare, job) for job in jobs]

    def finish(self, item: TokenizedJob, rows: list[dict[str, Any]]) -> Any:
        return self._pipe.postprocess(rows, **self._pipe._postprocess_params | item.postprocess)

    @abstractmethod
    def check_uncut(self, job: Job) -> None:
        """Raises ``Invalid`` if something is cut off. Called where a row has the model's whole length."""

    def _prepare(self, job: Job) -> TokenizedJob:
        text = self._row_maker.clipped(job.input, job.parameters) if truncates(job) else job.input
        pre = self._pipe._preprocess_params | self._pipe._sanitize_parameters(**pipeline_parameters(job))[0]
        rows = [self._as_row(chunk) for chunk in self._pipe.preprocess(text, **pre)]
        full = max(row.length for row in rows) >= self.description.longest_input
        if full and not truncates(job):
            self.check_uncut(job)
        item = self.checked(job, rows)
        item.truncated = full and truncates(job) and (text != job.input or self._is_cut(job))
        return item

    def _is_cut(self, job: Job) -> bool:
        """``preprocess`` does not say so of a text that fills the model's whole length."""
        try:
            self.check_uncut(job)
        except Invalid:
            return True
        return False

    def _as_row(self, chunk: dict[str, Any]) -> Row:
        names = [name for name in self._tokenizer.model_input_names if name in chunk]
        extras = {name: value for name, value in chunk.items() if name not in names}
        return Row({name: chunk[name][0].tolist() for name in names}, extras | {"input_ids": chunk["input_ids"]})
