"""depth-estimation: the pipeline's grey image, and the depths that its black and white stand for.

The depths themselves, as numbers in JSON, would be a hundred megabytes for a photograph.
"""

from typing import Any

import torch

from inference.backends.transformers.image_task import ImageTask
from inference.backends.transformers.images import png_of
from inference.backends.transformers.stacked import StackedJob
from inference.backends.transformers.task import TransformersTask


class DepthEstimation(ImageTask):
    extras = ("target_size",)

    def finish(self, item: StackedJob, outputs: Any) -> Any:
        size = item.extras["target_size"]
        processed = self._pipe.image_processor.post_process_depth_estimation(outputs, [size])
        depth: torch.Tensor = processed[0]["predicted_depth"].float().reshape(size)  # a side of 1 is left out there
        low, high = depth.min(), depth.max()
        grey = (depth - low) / (high - low) * 255 if high > low else torch.zeros_like(depth)
        return {"depth": png_of(grey.to(torch.uint8).numpy()), "min_depth": low.item(), "max_depth": high.item()}


TASK = TransformersTask(
    auto_class="AutoModelForDepthEstimation",
    architectures=("ForDepthEstimation",),
    parts=("image_processor",),
    stacked=DepthEstimation,
)
