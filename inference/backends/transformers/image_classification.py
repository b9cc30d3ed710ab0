"""image-classification."""

from typing import Any

from inference.backends.transformers.images import read_image
from inference.backends.transformers.stacked import Stacked
from inference.backends.transformers.task import TransformersTask
from inference.messaging.messages import Job


class ImageTask(Stacked):
    """Of tasks whose input is an image alone."""

    def read(self, job: Job) -> Any:
        return read_image(job.input)


TASK = TransformersTask(
    auto_class="AutoModelForImageClassification",
    architectures=("ForImageClassification",),
    parts=("image_processor",),
    stacked=ImageTask,
)
