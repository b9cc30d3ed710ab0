"""text-classification: the labels of a text, with scores."""

from inference.tasks.base import Task
from inference.tasks.inputs import TextInput
from inference.tasks.parameters import Choice, Parameter, Whole

TASK = Task(
    name="text-classification",
    aliases=("sentiment-analysis",),
    input=TextInput(),
    output="labels",
    parameters={
        "top_k": Parameter(kind=Whole(1, 1000), meaning="how many answers, best first"),
        "function_to_apply": Parameter(
            kind=Choice(("sigmoid", "softmax", "none")), meaning="how scores are made of logits"
        ),
    },
    example="I like this very much.",
)
