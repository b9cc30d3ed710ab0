"""audio-classification: the labels of a recording, with scores."""

from inference.tasks.base import Task
from inference.tasks.inputs import MediaInput
from inference.tasks.media import EXAMPLE_RECORDING
from inference.tasks.parameters import Choice, Parameter, Whole

TASK = Task(
    name="audio-classification",
    summary="The labels of a recording, with scores.",
    input=MediaInput("audio"),
    output="labels",
    parameters={
        "top_k": Parameter(kind=Whole(1, 1000), meaning="how many answers, best first"),
        "function_to_apply": Parameter(
            kind=Choice(("sigmoid", "softmax", "none")), meaning="how scores are made of logits"
        ),
    },
    example=EXAMPLE_RECORDING,
    example_parameters={"top_k": 3},
)
