"""object-detection: things in an image, with their labels and boxes in pixels."""

from inference.tasks.base import Task
from inference.tasks.inputs import MediaInput
from inference.tasks.media import EXAMPLE_IMAGE
from inference.tasks.parameters import Number, Parameter

TASK = Task(
    name="object-detection",
    summary="Things in an image, with their labels and boxes in pixels.",
    input=MediaInput("image"),
    output="boxes",
    parameters={"threshold": Parameter(kind=Number(0, 1), meaning="lowest score of what is told")},
    example=EXAMPLE_IMAGE,
    example_parameters={"threshold": 0.9},
)
