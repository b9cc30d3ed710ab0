"""Encoders: inputs tokenised together, one forward pass for the batch, each result made for itself.

``pipe(list)`` fails as a whole for one bad input, pads in order of arrival, and gives all inputs one set of
parameters; so the pipeline's stages are run by hand. Results equal ``pipe(x)``.
"""

import copy
import logging
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import msgspec
import torch
from transformers.pipelines.base import PipelineException

from inference.backends.base import FAILED, Outcome
from inference.backends.transformers.description import describe
from inference.backends.transformers.devices import release_memory
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.rows import (
    Layout,
    Padded,
    Row,
    TokenizedJob,
    check_length,
    groups,
    parts,
)
from inference.backends.transformers.sequences import RowMaker, TextOrPair
from inference.conf import Conf
from inference.errors import InferenceError, InferenceFailed, Invalid
from inference.messaging.messages import Job
from inference.observability import tracing
from inference.tasks.arrays import Array

logger = logging.getLogger(__name__)

OUR_PARAMETERS = frozenset({"truncate", "truncation_direction"})
"""How rows are made, which the stock pipelines do in other ways."""


class Encoder:
    """Base of tasks whose inputs share a forward pass.

    ``prepare`` runs on the tokenizer's thread and ``run`` on the model's: each has a tokenizer of its own, since a
    fast tokenizer that two threads use with different arguments silently returns wrong ids
    (https://github.com/huggingface/transformers/issues/47085).
    """

    token_outputs: tuple[str, ...] = ()
    """Outputs with one entry per token: each input gets those of its own."""
    reentrant = True
    """``run`` may be called from several threads at once: it does not tokenise."""
    warm_up_costs: Sequence[tuple[int, int, float]] = ()

    def __init__(self, loaded: Loaded, conf: Conf) -> None:
        self.description = describe(loaded)
        self._form = loaded.task.input
        self._pipe = loaded.pipe
        self._model = loaded.pipe.model
        self._tokenizer = copy.deepcopy(loaded.pipe.tokenizer)
        self._row_maker = RowMaker(self._tokenizer, self.description)
        self.shares_calls = self._tokenizer.pad_token_id is not None
        """Without a padding token, each row goes into the model by itself."""
        self._max_tokens = conf.max_batch_tokens if self.shares_calls else 0
        self.layout: Layout = Padded(self._tokenizer, self._pipe.device)

    @property
    def pads(self) -> bool:
        return self.layout.pads and self.shares_calls

    @property
    def concurrent_batches(self) -> int:
        """Batches side by side: on a CPU two, each with half of the cores."""
        side_by_side = self.description.device == "cpu" and self.description.threads > 1 and self.reentrant
        return 2 if side_by_side else 1

    def faster(self, loaded: Loaded, conf: Conf) -> "Encoder":
        """One with the same answers that takes less time, if it passes its self-check; otherwise this one."""
        return self

    def use_threads(self, threads: int) -> None:
        torch.set_num_threads(threads)

    def close(self) -> None:
        device = self.description.device
        self.layout.close()
        vars(self).clear()
        release_memory(device)

    def prepare(self, jobs: Sequence[Job]) -> list[TokenizedJob | InferenceError]:
        """Tokenise, each sequence of an input to a row. One outcome per job, in order."""
        wanted = [attempt(job, self._wanted, job) for job in jobs]
        rows = iter(self._row_maker.rows([each for own in wanted if isinstance(own, list) for each in own]))
        return [
            attempt(job, self.fitted, job, own, list(islice(rows, len(own)))) if isinstance(own, list) else own
            for job, own in zip(jobs, wanted, strict=True)
        ]

    def sequences(self, job: Job) -> Sequence[TextOrPair]:
        """What its rows are made of. Raises ``Invalid``."""
        return self._form.texts(job.input)

    def run(self, batch: Sequence[TokenizedJob]) -> list[Outcome]:
        """One outcome per job, in order. Raises if the forward pass fails."""
        outcomes: dict[int, Outcome] = {}
        for group in groups(batch, self._max_tokens, pads=self.pads):
            outcomes.update(zip(map(id, group), self.run_group(group), strict=True))
        return [outcomes[id(item)] for item in batch]

    def run_group(self, group: list[TokenizedJob]) -> list[Outcome]:
        """Jobs that run together: in one forward pass, unless one of them alone has too many rows for it."""
        rows = [row for item in group for row in item.rows]
        outputs = [
            self.reduced(row, output)
            for part in parts(rows, self._max_tokens, pads=self.pads)
            for row, output in zip(part, self.forward(part), strict=True)
        ]
        finished: list[Outcome] = []
        first = 0
        for item in group:
            indices = range(first, first + item.sequences)
            first = indices.stop
            mine = [{**rows[index].extras, **outputs[index]} for index in indices]
            finished.append(attempt(item.job, self._answer, item, mine))
        return finished

    @torch.inference_mode()
    def forward(self, rows: Sequence[Row]) -> list[dict[str, torch.Tensor]]:
        """The model's outputs for each row."""
        if len(rows) > 1 and not self.shares_calls:
            return [outputs for row in rows for outputs in self.forward([row])]
        by_row: list[dict[str, torch.Tensor]] = [{} for _ in rows]
        for name, value in self._model(**self.layout.arguments(rows)).items():
            if isinstance(value, torch.Tensor):
                here = value.cpu()
                parts = self.layout.per_row(here, rows) if name in self.token_outputs else torch.split(here, 1)
                for mine, part in zip(by_row, parts, strict=True):
                    mine[name] = part
        return by_row

    def reduced(self, row: Row, outputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """What is kept of a row's outputs until all rows of its group are through."""
        return outputs

    def compared(self, rows: Sequence[Row]) -> list[torch.Tensor]:
        """What another way to run the model is compared with: all outputs, one after the other."""
        return [value for row in self.forward(rows) for value in row.values()]

    def finish(self, item: TokenizedJob, rows: list[dict[str, Any]]) -> Any:
        """What the pipeline returns for one input."""
        return self._pipe.postprocess(rows[0], **self._pipe._postprocess_params | item.postprocess)

    def limit(self, job: Job) -> int:
        """Tokens that a row may have."""
        return self.description.longest_input

    def fitted(self, job: Job, own: Sequence[TextOrPair], rows: list[Row]) -> TokenizedJob:
        """The job with its rows, which are cut where it asks for that. Raises ``Invalid``."""
        if not truncates(job):
            return self.checked(job, rows)
        limit = self.limit(job)
        item = self.checked(
            job,
            [
                self._row_maker.cut(each, limit, job.parameters) if row.length > limit else row
                for each, row in zip(own, rows, strict=True)
            ],
        )
        item.truncated = any(row.length > limit for row in rows) or list(own) != list(self.sequences(job))
        return item

    def checked(self, job: Job, rows: list[Row]) -> TokenizedJob:
        """Raises ``Invalid``."""
        check_length(max(row.length for row in rows), self.limit(job))
        return TokenizedJob(job, rows, self._pipe._sanitize_parameters(**pipeline_parameters(job))[2])

    def _wanted(self, job: Job) -> list[TextOrPair]:
        own = self.sequences(job)
        return [self._row_maker.clipped(each, job.parameters) for each in own] if truncates(job) else list(own)

    def _answer(self, item: TokenizedJob, rows: list[dict[str, Any]]) -> Outcome:
        return to_json(self.finish(item, rows))


def truncates(job: Job) -> bool:
    """What is too long for the model is to be cut, not refused."""
    return bool(job.parameters.get("truncate"))


def pipeline_parameters(job: Job) -> dict[str, Any]:
    """Those that the stock pipeline has, too."""
    return {name: value for name, value in job.parameters.items() if name not in OUR_PARAMETERS}


def attempt(job: Job, step: Callable[..., Any], *args: Any) -> Any:
    """What ``step`` returns, or the error of this job: one bad input never harms another."""
    try:
        return step(*args)
    except InferenceError as error:
        return error
    except PipelineException as error:
        return Invalid(f"The pipeline cannot take this input: {error}.")
    except (ValueError, KeyError, IndexError, TypeError):
        logger.exception("Request %s failed", job.request_id, extra=tracing.fields(job.request_id, job.traceparent))
        return InferenceFailed(FAILED)


def to_json(value: Any) -> bytes:
    """JSON of a pipeline's result; NumPy and torch numbers become plain ones."""
    return msgspec.json.encode(value, enc_hook=lambda number: number.item())


def to_array(value: torch.Tensor) -> Array:
    return Array(tuple(value.shape), value.float().numpy(force=True).astype("<f4", copy=False).tobytes())
