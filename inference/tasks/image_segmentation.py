"""image-segmentation: which pixels of an image belong to what, with a mask for each label or thing."""

from inference.tasks.base import Task
from inference.tasks.inputs import MediaInput
from inference.tasks.media import EXAMPLE_IMAGE
from inference.tasks.parameters import Choice, Number, Parameter

TASK = Task(
    name="image-segmentation",
    summary="Which pixels of an image belong to what, with a mask for each label or thing.",
    input=MediaInput("image"),
    output="masks",
    parameters={
        "subtask": Parameter(
            kind=Choice(("semantic", "instance", "panoptic")), meaning="one mask for each label, or for each thing"
        ),
        "threshold": Parameter(kind=Number(0, 1), meaning="lowest score of what is told"),
        "mask_threshold": Parameter(kind=Number(0, 1), meaning="lowest score of a pixel of a mask"),
        "overlap_mask_area_threshold": Parameter(
            kind=Number(0, 1), meaning="smallest part of a mask that is not behind others"
        ),
    },
    example=EXAMPLE_IMAGE,
)
