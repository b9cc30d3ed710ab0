"""text-classification: the labels of a text, or of two texts that are read together, with scores."""

from inference.tasks.base import Task
from inference.tasks.inputs import TextOrPairInput
from inference.tasks.parameters import TRUNCATE, TRUNCATION_DIRECTION, Choice, Parameter, Whole

TASK = Task(
    name="text-classification",
    summary="The labels of a text, or of two texts that are read together, with scores.",
    aliases=("sentiment-analysis",),
    input=TextOrPairInput(),
    output="labels",
    parameters={
        "top_k": Parameter(kind=Whole(1, 1000), meaning="how many answers, best first"),
        "function_to_apply": Parameter(
            kind=Choice(("sigmoid", "softmax", "none")), meaning="how scores are made of logits"
        ),
        "truncate": TRUNCATE,
        "truncation_direction": TRUNCATION_DIRECTION,
    },
    example="I like this very much.",
)
