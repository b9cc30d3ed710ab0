"""Run batches through a pipeline's own stages.

``pipe(list)`` fails as a whole for one bad input, pads in order of arrival and gives all inputs one set of
parameters; so ``preprocess``, ``forward`` and ``postprocess`` are called by hand. Results equal ``pipe(x)``.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from transformers.pipelines.base import PipelineException, pad_collate_fn

from inference.batcher import FAILED, LoadedPipeline, Outcome
from inference.conf import Conf
from inference.errors import InferenceFailed, Invalid
from inference.messages import Description, Job
from inference.pipelines.loading import Loaded

logger = logging.getLogger(__name__)

CHARS_PER_TOKEN = 64
"""More than any tokenizer packs into a token: beyond it, an input is too long without counting tokens."""
NO_LIMIT = 1_000_000
"""Tokenizers without a limit of their own report 1e30."""
SEQUENCE_KEYS = {
    "fill-mask": ("input_ids", "logits"),
    "feature-extraction": ("last_hidden_state",),
    "text-classification": (),
}
"""Outputs with one entry per token, by task that can be split: their padding is stripped again."""


def running(loaded: Loaded, conf: Conf) -> LoadedPipeline:
    """The pipeline ready to run batches; one that cannot be split is called as a whole."""
    if loaded.task in SEQUENCE_KEYS and loaded.pipe.tokenizer.pad_token_id is not None:
        return SplitPipeline(loaded, conf)
    return WholePipeline(loaded)


class _Base:
    def __init__(self, loaded: Loaded) -> None:
        self._pipe = loaded.pipe
        self.description = _describe(loaded)

    def _count(self, text: str) -> int:
        return len(self._pipe.tokenizer(text, verbose=False)["input_ids"])

    def _check_length(self, tokens: int, room: int = 0) -> None:
        limit = self.description.longest_input
        if tokens + room <= limit:
            return
        if room:
            raise Invalid(
                f"The input has {tokens} tokens and max_new_tokens is {room}; "
                f"together they may be {limit}, so shorten one of them."
            )
        raise Invalid(f"The input has {tokens} tokens; this model takes at most {limit}.")


@dataclass
class _Prepared:
    position: int
    inputs: Mapping[str, Any]
    forward: dict[str, Any]
    postprocess: dict[str, Any]

    @property
    def length(self) -> int:
        return int(self.inputs["input_ids"].shape[1])


class SplitPipeline(_Base):
    """Encoders: each input prepared for itself, one forward pass for inputs of like length, each result for itself."""

    def __init__(self, loaded: Loaded, conf: Conf) -> None:
        super().__init__(loaded)
        self._sequence_keys = SEQUENCE_KEYS[loaded.task]
        self._max_tokens = conf.max_batch_tokens
        self._collate = pad_collate_fn(loaded.pipe.tokenizer, None)

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        outcomes: list[Outcome] = [InferenceFailed(FAILED)] * len(jobs)
        prepared = []
        for position, job in enumerate(jobs):
            result = _attempt(job, lambda job=job, position=position: self._prepare(job, position))  # type: ignore[misc]
            if isinstance(result, _Prepared):
                prepared.append(result)
            else:
                outcomes[position] = result
        for group in self._groups(prepared):
            for item, row in zip(group, self._forward(group), strict=True):
                job = jobs[item.position]
                outcomes[item.position] = _attempt(job, lambda item=item, row=row: self._finish(item, row))  # type: ignore[misc]
        return outcomes

    def _prepare(self, job: Job, position: int) -> _Prepared:
        pre, forward, post = self._sorted(job.parameters)
        inputs = self._pipe.preprocess(job.input, **self._pipe._preprocess_params | pre)
        item = _Prepared(position, inputs, forward, post)
        self._check_length(item.length)
        return item

    def _sorted(self, parameters: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """By stage. What only the tokenizer can refuse (targets without a token, say) is the client's mistake."""
        try:
            return self._pipe._sanitize_parameters(**parameters)  # type: ignore[no-any-return]
        except ValueError as error:
            raise Invalid(f"The pipeline cannot take these parameters: {str(error).rstrip('.')}.") from None

    def _groups(self, prepared: list[_Prepared]) -> Iterator[list[_Prepared]]:
        """Shortest first, each group within the bound of padded tokens."""
        group: list[_Prepared] = []
        for item in sorted(prepared, key=lambda item: item.length):
            if group and (len(group) + 1) * item.length > self._max_tokens:
                yield group
                group = []
            group.append(item)
        if group:
            yield group

    def _forward(self, group: list[_Prepared]) -> list[dict[str, Any]]:
        batch = self._collate([item.inputs for item in group])
        with torch.inference_mode():
            outputs = self._pipe.forward(batch, **self._pipe._forward_params | group[0].forward)
        left = self._pipe.tokenizer.padding_side == "left"
        return [
            {key: self._row(key, value, index, item.length, left=left) for key, value in outputs.items()}
            for index, item in enumerate(group)
        ]

    def _row(self, key: str, value: Any, index: int, length: int, *, left: bool) -> Any:
        row = value[index : index + 1]
        if key not in self._sequence_keys:
            return row
        return row[:, -length:] if left else row[:, :length]

    def _finish(self, item: _Prepared, row: dict[str, Any]) -> bytes:
        task = self.description.task
        outputs = (row["last_hidden_state"],) if task == "feature-extraction" else row
        result = self._pipe.postprocess(outputs, **self._pipe._postprocess_params | item.postprocess)
        if isinstance(result, dict):  # text-classification without top_k: the pipeline wraps it for one input
            result = [result]
        return to_json(result)


class WholePipeline(_Base):
    """Pipelines whose stages do not map one input to one forward pass: called for one input after the other."""

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        return [_attempt(job, lambda job=job: self._call(job)) for job in jobs]  # type: ignore[misc]

    def _call(self, job: Job) -> bytes:
        parameters = dict(job.parameters)
        self._check_length(self._count(job.input), parameters.get("max_new_tokens", 0))
        if "seed" in parameters:
            torch.manual_seed(parameters.pop("seed"))
        return to_json(self._pipe(job.input, **parameters))


def _attempt(job: Job, step: Callable[[], Any]) -> Any:
    """What ``step`` returns, or the error to tell this job's client: one bad input never harms another."""
    try:
        return step()
    except Invalid as error:
        return error
    except PipelineException as error:
        return Invalid(f"The pipeline cannot take this input: {error}.")
    except (ValueError, KeyError, IndexError, TypeError):
        logger.exception("Request %s failed", job.request_id)
        return InferenceFailed(FAILED)


def to_json(value: Any) -> bytes:
    """JSON of a pipeline's result; NumPy and torch numbers become plain ones."""
    return msgspec.json.encode(value, enc_hook=lambda number: number.item())


def _describe(loaded: Loaded) -> Description:
    tokenizer, config = loaded.pipe.tokenizer, loaded.pipe.model.config
    longest = _longest_input(tokenizer, config)
    return Description(
        task=loaded.task,
        model=loaded.name,
        revision=loaded.revision,
        device=loaded.device,
        dtype=loaded.dtype,
        threads=loaded.threads,
        vocabulary=getattr(config, "vocab_size", 0) or len(tokenizer),
        mask_token=(tokenizer.mask_token or "") if loaded.task == "fill-mask" else "",
        longest_input=longest,
        longest_input_chars=longest * CHARS_PER_TOKEN,
        memory_mb=_resident_mb(),
    )


def _longest_input(tokenizer: Any, config: Any) -> int:
    """Tokens. What the tokenizer says, bounded by the model's position table."""
    limits = [tokenizer.model_max_length, NO_LIMIT]
    positions = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    if positions:
        # RoBERTa and its kin count positions from the padding index + 1.
        offset = (config.pad_token_id or 0) + 1 if "roberta" in config.model_type else 0
        limits.append(positions - offset)
    return int(min(limits))


def _resident_mb() -> int:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0  # not Linux
    return next((int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmRSS")), 0)
