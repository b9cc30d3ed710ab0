"""object-detection."""

from inference.backends.transformers.image_task import ImageTask
from inference.backends.transformers.task import TransformersTask


class ObjectDetection(ImageTask):
    extras = ("target_size",)


TASK = TransformersTask(
    auto_class="AutoModelForObjectDetection",
    architectures=("ForObjectDetection",),
    parts=("image_processor",),
    stacked=ObjectDetection,
)
