"""Models that generate what is said: encoders and decoders, above all Whisper (``speech_whisper``)."""

import time
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from inference.backends.base import Outcome
from inference.backends.transformers import compat
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.recording_task import numbers
from inference.backends.transformers.speech import Place, Speech, SpeechJob
from inference.conf import Conf
from inference.errors import Invalid
from inference.messaging.messages import Job

ENCODER_STEPS = 32
"""Steps of a decoder that take about as long as encoding what it reads."""
USUAL_STEPS = 256
"""The pipeline's limit of new tokens."""
CPU_CACHE_BYTES = 2**30
CACHE_SHARE = 8
"""On other devices the cache may have this part of their memory."""
SAMPLES_PER_POSITION = 320
LONGEST_S = 30.0


class Over(Exception):
    """Nobody waits for any text of a call any more."""


class Waiting(StoppingCriteria):  # type: ignore[misc]
    """Raises ``Over`` once all jobs of a call are cancelled or late; their time is counted from the call."""

    def __init__(self, items: Sequence[SpeechJob]) -> None:
        now = time.monotonic()
        self._ends = [(item, now + item.job.time_left_s) for item in items]
        self.prompt = self.length = 0
        """Tokens of a row before the first step, and so far."""

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        self.length = input_ids.shape[1]
        self.prompt = self.prompt or self.length - 1
        now = time.monotonic()
        if all(item.stopped or now >= ends_at for item, ends_at in self._ends):
            raise Over
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def reordered(cache: Any, rows: torch.Tensor) -> Any:
    """The cache after a step of beam search, whose rows go on from these.

    The beams of a text read the same speech: what is cached of it, most of the cache, need not be copied.
    """
    getattr(cache, "self_attention_cache", cache).reorder_cache(rows)
    return cache


class SpeechToText(Speech):
    """Recordings of equal shape are encoded and decoded together."""

    concurrent_batches = 1
    warm_up_parameters = MappingProxyType({"max_new_tokens": 8})
    """Where nothing is said, some models write as much as they may."""
    not_taken: tuple[str, ...] = ("return_timestamps", "language", "task")

    def __init__(self, loaded: Loaded, conf: Conf) -> None:
        super().__init__(loaded, conf)
        compat.check_pipeline(self._pipe, compat.GENERATING_ATTRIBUTES)
        self._settings = self._model.generation_config
        self._config = self._model.config
        self._model._reorder_cache = reordered
        self._steps = int(self._settings.max_new_tokens or self._settings.max_length or USUAL_STEPS)

    def pipeline_parameters(self, job: Job) -> dict[str, Any]:
        for name in self.not_taken:
            if job.parameters.get(name):
                raise Invalid(f"Parameter {name} is for Whisper, and this is another model; leave it out.")
        return {name: value for name, value in job.parameters.items() if value is not False}

    def usual_chunk_s(self, seconds: float) -> float | None:
        return LONGEST_S if seconds > LONGEST_S else None

    def prepared(self, job: Job) -> SpeechJob:  # type: ignore[override]
        item = super().prepared(job)
        item.tokens = self.windows(item) * (ENCODER_STEPS + int(item.forward.get("max_new_tokens", self._steps)))
        return item

    def run(self, batch: Sequence[SpeechJob]) -> list[Outcome]:  # type: ignore[override]
        for item in batch:
            item.tokens = self.windows(item) * ENCODER_STEPS  # and then a step for each token that it gets
        return super().run(batch)

    def windows(self, item: SpeechJob) -> int:
        """How often the encoder runs for a job."""
        return len(item.parts)

    def most_parts(self, place: Place) -> int:
        """As many as leave the decoder's cache of encoded speech below its limit."""
        config, device = self._config, self._pipe.device
        limit = CPU_CACHE_BYTES
        if device.type == "cuda":
            limit = torch.cuda.get_device_properties(device).total_memory // CACHE_SHARE
        layers = getattr(config, "decoder_layers", None) or config.num_hidden_layers
        width = getattr(config, "d_model", None) or config.hidden_size
        of_one = self.beams(place) * 2 * layers * self.positions(place) * width * self._model.dtype.itemsize
        return int(max(1, limit // of_one))

    def beams(self, place: Place) -> int:
        return int(self._pipe._prepare_generate_kwargs(dict(place.item.forward)).get("num_beams") or 1)

    def positions(self, place: Place) -> int:
        """Of the encoded speech of one part, at most."""
        return numbers(place.part) // SAMPLES_PER_POSITION + 1

    def recognised(self, group: Sequence[Place]) -> list[dict[str, Any]]:
        items = [place.item for place in group]
        waiting = StoppingCriteriaList([Waiting(items)])
        try:
            rows = self.texts(group, {**items[0].forward, "stopping_criteria": waiting})
        except Over:
            rows = [{"tokens": torch.zeros(1, 0, dtype=torch.long)} for _ in group]
        for item, row in zip(items, rows, strict=True):
            item.tokens += row["tokens"].shape[1]
        return [{**place.part.extras, **row} for place, row in zip(group, rows, strict=True)]

    def texts(self, group: Sequence[Place], parameters: dict[str, Any]) -> list[dict[str, Any]]:
        """For each part its ``tokens``, as ``[1, length]``."""
        return self.unpadded(self._pipe.forward(self.stacked(group), **parameters))

    def unpadded(self, outputs: dict[str, Any]) -> list[dict[str, Any]]:
        """The rows of a call, each without the padding after it."""
        padding = self._pipe._generation_defaults.get("pad_token_id", self._settings.pad_token_id)
        rows: list[dict[str, Any]] = []
        for tokens in outputs["tokens"]:
            written = (tokens != padding).nonzero()
            rows.append({"tokens": tokens[None, : int(written[-1]) + 1 if len(written) else 0]})
        return rows
