"""What a task needs of transformers, declared in one module per task."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from inference.backends.base import BatchedPipeline
from inference.conf import Conf
from inference.tasks.base import Task

if TYPE_CHECKING:
    from inference.backends.transformers.encoder import Encoder
    from inference.backends.transformers.loaded import Loaded
    from inference.backends.transformers.stacked import Stacked

Report = Callable[[str], None]
"""Is called with progress, in words."""


@dataclass(frozen=True, kw_only=True)
class TransformersTask:
    """How transformers loads and runs a task; ``TASK`` of the module that is named like the task.

    It runs as batches of rows (``encoder``) or of images and recordings (``stacked``), or in its own way (``build``),
    or else one input after the other.
    """

    auto_class: str
    """The class of transformers that loads its checkpoints."""
    auto_classes: Mapping[str, str] = field(default_factory=dict)
    """By endings of the names of architectures, where that class is another one."""
    architectures: tuple[str, ...] = ()
    """Endings of the names of architectures that are trained for it: it is their checkpoints' task by default."""
    exclusive: bool = False
    """Checkpoints that were trained for another task are refused. Their weights would fit, and answer nonsense."""
    optional_weights: tuple[str, ...] = ()
    """Beginnings of the names of weights that it does not use, so that a checkpoint may lack them."""
    check: Callable[[str, Any], None] | None = None
    """Called with a model's name and configuration; raises ``LoadFailed`` for one that is not fit for the task."""
    parts: tuple[str, ...] = ("tokenizer",)
    """What a pipeline has beside its model: arguments of ``transformers.pipeline`` that ``loading.PARTS`` names."""
    pipeline: str = ""
    """The transformers pipeline whose parts are used, if it is not named like the task."""
    has_pipeline: bool = True
    """transformers has a pipeline for it; otherwise ``Loaded.pipe`` just holds its parts (``loaded.Parts``)."""
    encoder: "type[Encoder] | None" = None
    encodes: bool = True
    """Texts go into the model. Otherwise the tokenizer only decodes, or drops what the model does not know, and may
    have tokens that the model has not."""
    stacked: "Callable[[Loaded, Conf], Stacked] | None" = None
    build: "Callable[[Loaded, Conf, Report], BatchedPipeline] | None" = None
    in_place: Collection[str] = ()
    """Types of models whose layers are packed one after the other, so that their weights are in memory once."""
    warm_up_parameters: Mapping[str, Any] = field(default_factory=dict)
    """Beside those of the task's example."""
    call_parameters: Sequence[Mapping[str, Any]] = ()
    """For the calls that are measured at warm-up where each input has a call of its own; by default inputs differ."""


def auto_class(spec: TransformersTask, config: Any) -> str:
    """Of a checkpoint with this configuration."""
    own = config.architectures or ()
    return next(
        (name for ending, name in spec.auto_classes.items() if own and own[0].endswith(ending)), spec.auto_class
    )


def find(task: Task) -> TransformersTask | None:
    """How transformers runs a task; ``None`` where no module says so."""
    name = task.transformers_module or f"{__package__}.{task.name.replace('-', '_')}"
    try:
        declared: TransformersTask = import_module(name).TASK
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None
    return declared
