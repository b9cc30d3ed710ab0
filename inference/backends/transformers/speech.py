"""Recognition of speech: recordings in chunks or windows, those of all jobs together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from inference.backends.base import Outcome
from inference.backends.transformers import compat
from inference.backends.transformers.encoder import attempt, to_json
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.recording_task import RecordingTask, divided
from inference.backends.transformers.stacked import StackedJob
from inference.conf import Conf
from inference.errors import Invalid
from inference.messaging.messages import Heard, Job

STRIDE_SHARE = 3
"""A chunk is at least so many times its overlap at each end, so that each second is computed three times at most."""


@dataclass(eq=False, slots=True)
class SpeechJob:
    """``parts`` are what its recording was cut into, in order; ``tokens`` is its size (``PreparedJob``)."""

    job: Job
    parts: list[StackedJob]
    tokens: int
    forward: Mapping[str, Any] = field(default_factory=dict)
    postprocess: Mapping[str, Any] = field(default_factory=dict)
    stopped: bool = False
    seconds: float = 0.0
    """Of its recording."""
    language: str = ""
    """That of the speech, in English, once it is known."""

    @property
    def heard(self) -> Heard:
        return Heard(self.seconds, self.language)

    @property
    def longest(self) -> int:
        return self.tokens

    @property
    def sequences(self) -> int:
        return len(self.parts)

    @property
    def kind(self) -> tuple[tuple[str, str], ...]:
        """Jobs of one kind share calls of the model."""
        return tuple(sorted((name, repr(value)) for name, value in self.forward.items()))

    def stop(self) -> None:
        self.stopped = True


@dataclass(frozen=True, slots=True)
class Place:
    """A part of a job."""

    item: SpeechJob
    number: int

    @property
    def part(self) -> StackedJob:
        return self.item.parts[self.number]


class Speech(RecordingTask):
    """Base of the ways in which models recognise speech. Each calls the pipeline's own stages.

    Raises:
        compat.Missing: transformers has no such pipeline.
    """

    def __init__(self, loaded: Loaded, conf: Conf) -> None:
        super().__init__(loaded, conf)
        compat.check_pipeline(self._pipe, compat.SPEECH_ATTRIBUTES)

    def pipeline_parameters(self, job: Job) -> dict[str, Any]:
        """What the pipeline takes for a job's parameters. Raises ``Invalid`` for what this model cannot do."""
        raise NotImplementedError

    def abilities(self) -> tuple[str, ...]:
        """See ``inference.tasks.abilities``."""
        return ()

    def usual_chunk_s(self, seconds: float) -> float | None:
        """Length of the chunks of a recording, where a client does not say; ``None``: it is not cut."""
        return None

    def form(self, part: StackedJob) -> tuple[Any, ...]:
        """Parts of one form may be stacked."""
        return part.shape

    def most_parts(self, place: Place) -> int:
        """How many parts like this one a call may have."""
        raise NotImplementedError

    def recognised(self, group: Sequence[Place]) -> list[dict[str, Any]]:
        """What the pipeline's ``forward`` returns for each part, as if it had run by itself, with ``stride``."""
        raise NotImplementedError

    def prepared(self, job: Job) -> SpeechJob:  # type: ignore[override]
        check_chunks(job.parameters)
        parameters = self.pipeline_parameters(job)
        samples = self.read(job)
        if "chunk_length_s" not in parameters and (chunk_s := self.usual_chunk_s(samples.size / self.rate)):
            parameters["chunk_length_s"] = chunk_s
        pre, forward, post = self._pipe._sanitize_parameters(**parameters, ignore_warning=True)
        parts = [self._part(job, each) for each in self._pipe.preprocess(samples, **pre)]
        return SpeechJob(
            job,
            parts,
            sum(part.tokens for part in parts),
            self._pipe._forward_params | forward,
            post,
            seconds=samples.size / self.rate,
        )

    def run(self, batch: Sequence[SpeechJob]) -> list[Outcome]:  # type: ignore[override]
        groups: dict[tuple[Any, ...], list[Place]] = {}
        for item in batch:
            for place in (Place(item, number) for number in range(len(item.parts))):
                groups.setdefault((item.kind, self.form(place.part)), []).append(place)
        outputs: dict[Place, dict[str, Any]] = {}
        for places in groups.values():
            for group in divided(places, self.most_parts(places[0])):
                outputs.update(zip(group, self.recognised(group), strict=True))
        return [
            attempt(item.job, self._transcript, item, [outputs[Place(item, n)] for n in range(len(item.parts))])
            for item in batch
        ]

    def stacked(self, group: Sequence[Place]) -> dict[str, Any]:
        """What the pipeline's ``forward`` takes."""
        parts = [place.part.tensors for place in group]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]} | {"is_last": True}

    def _part(self, job: Job, preprocessed: dict[str, Any]) -> StackedJob:
        tensors = {name: value for name, value in preprocessed.items() if isinstance(value, torch.Tensor)}
        return StackedJob(job, tensors, {name: value for name, value in preprocessed.items() if name == "stride"})

    def _transcript(self, item: SpeechJob, outputs: list[dict[str, Any]]) -> bytes:
        return to_json(self._pipe.postprocess(outputs, **self._pipe._postprocess_params | item.postprocess))


def check_chunks(parameters: Mapping[str, Any]) -> None:
    """Raises ``Invalid`` for an overlap that the pipeline would not notice, or that would multiply the work."""
    if (stride_s := parameters.get("stride_length_s")) is None:
        return
    if (chunk_s := parameters.get("chunk_length_s")) is None:
        raise Invalid("Parameter stride_length_s is for chunks; send chunk_length_s as well.")
    if STRIDE_SHARE * stride_s > chunk_s:
        raise Invalid(
            f"Parameter stride_length_s is {stride_s:g}; with a chunk_length_s of {chunk_s:g} "
            f"it may be {chunk_s / STRIDE_SHARE:g}."
        )
