"""A pipeline as it was loaded, before it is known how it will be run."""

from dataclasses import dataclass
from typing import Any

from inference.backends.base import Turn, at_once
from inference.backends.transformers.task import TransformersTask
from inference.tasks.base import Task


@dataclass(frozen=True)
class Parts:
    """What is used of a transformers pipeline, where there is none."""

    model: Any
    tokenizer: Any
    device: Any
    image_processor: Any = None


@dataclass(frozen=True)
class Loaded:
    """``pipe`` is a transformers pipeline or ``Parts``, ``name`` what clients may know of the model, ``weights`` tells
    checkpoints apart.
    """

    pipe: Any
    task: Task
    spec: TransformersTask
    name: str
    revision: str
    weights: str
    device: str
    dtype: str
    threads: int
    missing: tuple[str, ...] = ()
    """Names of optional weights that the checkpoint lacks, so that they are random."""
    turn: Turn = at_once
    """For checks and measurements while it is loaded."""
    quantized: bool = False
    """Its linear layers get weights of 8 bits; ``dtype`` is that of all else."""

    @property
    def exact(self) -> bool:
        """Two ways to compute the same differ in the last digits of float32 only."""
        return self.dtype == "float32" and not self.quantized
