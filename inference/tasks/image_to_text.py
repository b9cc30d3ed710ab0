"""image-to-text: what an image shows, or the text in it, in words."""

from inference.tasks.base import Task
from inference.tasks.inputs import MediaInput
from inference.tasks.media import EXAMPLE_IMAGE
from inference.tasks.parameters import Parameter, Whole

TASK = Task(
    name="image-to-text",
    summary="What an image shows, or the text in it, in words.",
    aliases=("image-captioning",),
    input=MediaInput("image"),
    output="text",
    parameters={"max_new_tokens": Parameter(kind=Whole(1, 4096), meaning="longest text, in tokens")},
    forward=frozenset({"max_new_tokens"}),
    example=EXAMPLE_IMAGE,
)
