"""feature-extraction: a vector for each token of a text, or one for the text."""

from inference.tasks.base import Task
from inference.tasks.inputs import TextInput
from inference.tasks.parameters import TRUNCATE, TRUNCATION_DIRECTION, Choice, Flag, Parameter

TASK = Task(
    name="feature-extraction",
    input=TextInput(),
    output="vectors",
    parameters={
        "pooling": Parameter(
            kind=Choice(("none", "mean", "cls")), meaning="one vector per input instead of one per token"
        ),
        "normalize": Parameter(kind=Flag(), meaning="scale vectors to length 1"),
        "truncate": TRUNCATE,
        "truncation_direction": TRUNCATION_DIRECTION,
    },
    example="A text to embed.",
    example_parameters={"pooling": "mean", "normalize": True},
)
