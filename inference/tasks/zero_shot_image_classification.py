"""zero-shot-image-classification: which of the client's own labels fit an image."""

from inference.tasks.base import Task
from inference.tasks.inputs import MediaInput
from inference.tasks.media import EXAMPLE_IMAGE
from inference.tasks.parameters import Parameter, Template, Texts

TASK = Task(
    name="zero-shot-image-classification",
    summary="Which of the client's own labels fit an image.",
    input=MediaInput("image"),
    output="labels",
    parameters={
        "candidate_labels": Parameter(kind=Texts(64, 200), meaning="the labels to choose from", required=True),
        "hypothesis_template": Parameter(kind=Template(500), meaning="the sentence around a label"),
    },
    example=EXAMPLE_IMAGE,
    example_parameters={"candidate_labels": ["a cat", "a dog"]},
)
