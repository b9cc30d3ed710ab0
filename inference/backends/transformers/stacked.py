"""Images and recordings: each becomes tensors, and those of equal shape share a forward pass.

Preprocessing brings most inputs of a model to one size, so nothing is padded; an input of another size runs by itself
or with its like. The pipeline's stages are run by hand, as in ``encoder``, and results equal ``pipe(x)``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch

from inference.backends.base import Outcome
from inference.backends.transformers.description import describe
from inference.backends.transformers.devices import release_memory
from inference.backends.transformers.encoder import attempt, to_json
from inference.backends.transformers.loaded import Loaded
from inference.conf import Conf
from inference.errors import InferenceError
from inference.messaging.messages import Job

UNIT = 1024
"""Numbers of an input tensor that count as one unit of size: an image of 224 × 224 has 147."""


@dataclass(eq=False, slots=True)
class StackedJob:
    """``tensors`` are the model's arguments, each ``[1, ...]``; ``extras`` is what post-processing wants beside."""

    job: Job
    tensors: Mapping[str, torch.Tensor]
    extras: Mapping[str, Any] = field(default_factory=dict)
    postprocess: Mapping[str, Any] = field(default_factory=dict)
    sequences: int = 1
    input_tokens: int = 0
    """Of the text that comes with an image."""
    truncated: bool = False

    @property
    def tokens(self) -> int:
        """In ``UNIT``."""
        return size_of(self)

    @property
    def longest(self) -> int:
        return self.tokens

    @property
    def shape(self) -> tuple[Any, ...]:
        """Jobs of equal shape may be stacked."""
        return tuple((name, tensor.shape, tensor.dtype) for name, tensor in self.tensors.items())


def size_of(item: StackedJob) -> int:
    """Of its tensors, in ``UNIT``."""
    return max(1, max(tensor.numel() for tensor in item.tensors.values()) // UNIT)


class Stacked:
    """Base of tasks with images or recordings.

    ``prepare`` runs on the tokenizer's thread and ``run`` on the model's.
    """

    extras: tuple[str, ...] = ()
    """What ``preprocess`` returns for the pipeline's post-processing, and not for the model."""
    most_in_pass = 0
    """Size of what goes through the model at once on a CPU, in ``UNIT``; 0 for no limit."""
    shares_calls = True
    pads = False
    warm_up_parameters: Mapping[str, Any] = MappingProxyType({})
    """Of the inputs that are measured at warm-up, beside those of the task's example."""
    warm_up_costs: Sequence[tuple[int, int, float]] = ()

    def __init__(self, loaded: Loaded, conf: Conf) -> None:
        self.description = describe(loaded)
        self._pipe = loaded.pipe
        self._model = loaded.pipe.model

    @property
    def concurrent_batches(self) -> int:
        """Batches side by side: on a CPU two, each with half of the cores."""
        return 2 if self.description.device == "cpu" and self.description.threads > 1 else 1

    def use_threads(self, threads: int) -> None:
        torch.set_num_threads(threads)

    def close(self) -> None:
        device = self.description.device
        vars(self).clear()
        release_memory(device)

    def prepare(self, jobs: Sequence[Job]) -> list[StackedJob | InferenceError]:
        return [attempt(job, self.prepared, job) for job in jobs]

    def run(self, batch: Sequence[StackedJob]) -> list[Outcome]:
        """One outcome per job, in order. Raises if a forward pass fails."""
        groups: dict[tuple[Any, ...], list[StackedJob]] = {}
        for item in batch:
            groups.setdefault(item.shape, []).append(item)
        outcomes: dict[int, Outcome] = {}
        for group in groups.values():
            for part in self._passes(group):
                for item, outputs in zip(part, self.forward(part), strict=True):
                    outcomes[id(item)] = attempt(item.job, self._answer, item, outputs)
        return [outcomes[id(item)] for item in batch]

    @torch.inference_mode()
    def forward(self, group: Sequence[StackedJob]) -> list[Any]:
        """The model's outputs for each job of a group of equal shape, as if it had run by itself."""
        device, names = self._pipe.device, group[0].tensors
        stacked = {name: torch.cat([item.tensors[name] for item in group]).to(device) for name in names}
        outputs = self.call(stacked)
        return [
            type(outputs)(
                **{
                    name: value[row : row + 1].cpu() if isinstance(value, torch.Tensor) else None
                    for name, value in outputs.items()
                }
            )
            for row in range(len(group))
        ]

    def call(self, tensors: dict[str, torch.Tensor]) -> Any:
        """The model's outputs for stacked inputs."""
        return self._model(**tensors)

    def compared(self, group: Sequence[StackedJob]) -> torch.Tensor:
        """What another way to run the model is compared with: all outputs, one after the other."""
        values = [value for outputs in self.forward(group) for value in outputs.values()]
        return torch.cat([value.flatten() for value in values if isinstance(value, torch.Tensor)])

    def read(self, job: Job) -> Any:
        """What the pipeline's ``preprocess`` takes. Raises ``Invalid`` for what cannot be decoded."""
        raise NotImplementedError

    def preprocess(self, given: Any, parameters: dict[str, Any]) -> Any:
        """The model's arguments and what post-processing wants, of what ``read`` returned. Raises ``Invalid``."""
        return self._pipe.preprocess(given, **parameters)

    def finish(self, item: StackedJob, outputs: Any) -> Any:
        """What the pipeline returns for one input."""
        for name, value in item.extras.items():
            outputs[name] = value
        return self._pipe.postprocess(outputs, **self._pipe._postprocess_params | item.postprocess)

    def prepared(self, job: Job) -> StackedJob:
        """Raises ``Invalid``."""
        pre, _, post = self._pipe._sanitize_parameters(**job.parameters)
        inputs = self.preprocess(self.read(job), self._pipe._preprocess_params | pre)
        extras = {name: inputs.pop(name) for name in self.extras if name in inputs}
        return StackedJob(job, dict(inputs), extras, post)

    def _passes(self, group: list[StackedJob]) -> list[list[StackedJob]]:
        limited = self.most_in_pass and self.description.device == "cpu"
        most = max(1, self.most_in_pass // size_of(group[0])) if limited else len(group)
        return [group[first : first + most] for first in range(0, len(group), most)]

    def _answer(self, item: StackedJob, outputs: Any) -> Outcome:
        return to_json(self.finish(item, outputs))
