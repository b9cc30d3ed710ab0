"""image-segmentation: the pipeline's masks, as PNG in base64."""

from functools import partial
from typing import Any

import torch

from inference.backends.base import LoadFailed
from inference.backends.transformers.image_task import ImageTask
from inference.backends.transformers.images import png_of
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.stacked import StackedJob
from inference.backends.transformers.task import TransformersTask
from inference.conf import Conf
from inference.errors import Invalid
from inference.messaging.messages import Job

MOST_PIXELS = 4_000_000
"""Each mask has as many as the image, and there may be more than a hundred of them."""
MOST_NUMBERS = 200_000_000
"""Of 4 bytes, in all masks of an image before it is known which of them covers a pixel."""
LABELS_AT_ONCE = 8
SUBTASKS = ("panoptic", "instance", "semantic")
"""In the order in which the pipeline looks for one that the model has."""


class ImageSegmentation(ImageTask):
    extras = ("target_size",)

    def __init__(self, loaded: Loaded, conf: Conf) -> None:
        super().__init__(loaded, conf)
        if self._can("panoptic"):  # without the argument, which the pipeline does not give, it warns of the default
            processor = self._pipe.image_processor
            whole = partial(processor.post_process_panoptic_segmentation, label_ids_to_fuse=set())
            processor.post_process_panoptic_segmentation = whole

    def prepared(self, job: Job) -> StackedJob:
        subtask = job.parameters.get("subtask")
        if subtask and not self._can(subtask):
            able = ", ".join(filter(self._can, SUBTASKS))
            raise Invalid(f"Parameter subtask is {subtask!r}; {self.description.model} can do {able}.")
        return super().prepared(job)

    def read(self, job: Job) -> Any:
        image = super().read(job)
        if image.width * image.height > MOST_PIXELS:
            raise Invalid(
                f"The image has {image.width} × {image.height} pixels; {MOST_PIXELS:,} in all are allowed here, "
                "where each mask has as many, so send a smaller one."
            )
        return image

    def finish(self, item: StackedJob, outputs: Any) -> Any:
        logits = outputs.get("logits")
        if logits is not None and logits.ndim == 4:
            return self._by_label(logits, *item.extras["target_size"])
        self._check_masks(item, logits if logits is not None else outputs["class_queries_logits"])
        return [_answer(**answer) for answer in super().finish(item, outputs)]

    def _can(self, subtask: str) -> bool:
        return hasattr(self._pipe.image_processor, f"post_process_{subtask}_segmentation")

    def _by_label(self, logits: torch.Tensor, size: tuple[int, int]) -> list[dict[str, Any]]:
        """As ``post_process_semantic_segmentation``, which takes a gigabyte for an image and 150 labels."""
        best = torch.full(size, -torch.inf)
        label_of = torch.zeros(size, dtype=torch.int32)
        for first in range(0, logits.shape[1], LABELS_AT_ONCE):
            part = logits[:, first : first + LABELS_AT_ONCE].float()
            scores, labels = torch.nn.functional.interpolate(part, size=size, mode="bilinear", align_corners=False)[
                0
            ].max(0)
            better = scores > best
            best[better], label_of[better] = scores[better], labels[better].to(torch.int32) + first
        names = self._model.config.id2label
        return [_answer(names[label], _mask(label_of == label)) for label in torch.unique(label_of).tolist()]

    def _check_masks(self, item: StackedJob, logits: torch.Tensor) -> None:
        """Raises ``Invalid`` if the pipeline would need too much memory; ``logits`` are those of masks for labels."""
        [(height, width)] = item.extras["target_size"]
        none = logits.shape[-1] - 1
        scores, labels = logits.softmax(-1).max(-1)
        kept = (scores > item.postprocess.get("threshold", 0.9)) & (labels != none)
        masks = none if item.postprocess.get("subtask") == "semantic" else int(kept.sum())
        if masks * height * width > MOST_NUMBERS:
            raise Invalid(
                f"The image has {width} × {height} pixels and {masks} masks, {MOST_NUMBERS:,} pixels of masks are "
                "allowed; send a smaller image, or a higher threshold."
            )


def _mask(pixels: torch.Tensor) -> Any:
    return (pixels * 255).to(torch.uint8).numpy()


def _answer(label: str, mask: Any, score: float | None = None) -> dict[str, Any]:
    """Without a score where there is none: clients take it for a number."""
    named = {"label": label, "mask": png_of(mask)}
    return named if score is None else {"score": score, **named}


def check_model(model: str, config: Any) -> None:
    """Raises ``LoadFailed``."""
    if config.model_type in ("oneformer", "videomt", "rf_detr"):
        raise LoadFailed(f"{model} is of type {config.model_type}, which image-segmentation is not served for.")


TASK = TransformersTask(
    auto_class="AutoModelForSemanticSegmentation",
    auto_classes={
        "ForSegmentation": "AutoModelForUniversalSegmentation",
        "ForUniversalSegmentation": "AutoModelForUniversalSegmentation",
        "ForInstanceSegmentation": "AutoModelForUniversalSegmentation",
    },
    architectures=("ForSemanticSegmentation", "ForSegmentation", "ForUniversalSegmentation", "ForInstanceSegmentation"),
    check=check_model,
    parts=("image_processor",),
    stacked=ImageSegmentation,
)
