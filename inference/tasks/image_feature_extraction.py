"""image-feature-extraction: a vector for each part of an image, or one for the image."""

from inference.tasks.base import Task
from inference.tasks.inputs import MediaInput
from inference.tasks.media import EXAMPLE_IMAGE
from inference.tasks.parameters import Flag, Parameter

TASK = Task(
    name="image-feature-extraction",
    summary="A vector for each part of an image, or one for the image.",
    input=MediaInput("image"),
    output="vectors",
    parameters={"pool": Parameter(kind=Flag(), meaning="the model's own vector for the whole image")},
    example=EXAMPLE_IMAGE,
)
