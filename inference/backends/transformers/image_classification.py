"""image-classification."""

from inference.backends.transformers.image_task import ImageTask
from inference.backends.transformers.task import TransformersTask

TASK = TransformersTask(
    auto_class="AutoModelForImageClassification",
    architectures=("ForImageClassification",),
    parts=("image_processor",),
    stacked=ImageTask,
)
