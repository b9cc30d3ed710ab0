"""depth-estimation: how far away each pixel of an image is, as an image in grey."""

from inference.tasks.base import Task
from inference.tasks.inputs import MediaInput
from inference.tasks.media import EXAMPLE_IMAGE

TASK = Task(
    name="depth-estimation",
    summary="How far away each pixel of an image is, as an image in grey.",
    input=MediaInput("image"),
    output="depth",
    example=EXAMPLE_IMAGE,
)
