"""image-feature-extraction."""

from dataclasses import replace
from typing import Any

from inference.backends.base import Outcome
from inference.backends.transformers.encoder import to_array
from inference.backends.transformers.image_task import ImageTask
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.stacked import StackedJob
from inference.backends.transformers.task import TransformersTask
from inference.conf import Conf
from inference.errors import Invalid

POOLER = "pooler."
MODELS = (
    "ViT",
    "DeiT",
    "Dinov2",
    "Dinov2WithRegisters",
    "DINOv3ViT",
    "Beit",
    "Swin",
    "Swinv2",
    "ConvNext",
    "ConvNextV2",
)


class ImageFeatureExtraction(ImageTask):
    def __init__(self, loaded: Loaded, conf: Conf) -> None:
        if any(name.startswith(POOLER) for name in loaded.missing):
            loaded.pipe.model.pooler = None  # its weights are random numbers
        super().__init__(loaded, conf)

    def finish(self, item: StackedJob, outputs: Any) -> Any:
        if item.postprocess.get("pool") and outputs.get("pooler_output") is None:
            raise Invalid(f"{self.description.model} has no vector for the whole image; leave pool out.")
        return super().finish(item, outputs)

    def _answer(self, item: StackedJob, outputs: Any) -> Outcome:
        if not item.job.arrays:
            return super()._answer(item, outputs)
        return to_array(self.finish(replace(item, postprocess={**item.postprocess, "return_tensors": True}), outputs))


TASK = TransformersTask(
    auto_class="AutoModel",
    architectures=tuple(f"{name}Model" for name in MODELS),
    optional_weights=(POOLER,),
    parts=("image_processor",),
    stacked=ImageFeatureExtraction,
)
