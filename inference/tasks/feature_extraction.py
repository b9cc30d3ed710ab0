"""feature-extraction: a vector for each token of a text, or one for the text."""

from inference.tasks.base import Task
from inference.tasks.inputs import TextInput
from inference.tasks.parameters import TRUNCATE, TRUNCATION_DIRECTION, Choice, Flag, Parameter, Text, Whole

TASK = Task(
    name="feature-extraction",
    summary="A vector for each token of a text, or one for the text.",
    input=TextInput(),
    output="vectors",
    parameters={
        "pooling": Parameter(
            kind=Choice(("none", "mean", "cls", "model", "auto")),
            meaning="one vector per input instead of one per token; model: as the checkpoint's own settings say; "
            "auto: that, or the mean where it has none",
        ),
        "normalize": Parameter(kind=Flag(), meaning="scale vectors to length 1"),
        "dimensions": Parameter(kind=Whole(1, 8192), meaning="keep the first numbers of a vector"),
        "prompt_name": Parameter(kind=Text(100), meaning="which of the checkpoint's prompts goes before a text"),
        "chunk": Parameter(
            kind=Flag(), meaning="read a long text in parts, and average their vectors", takes_long=True
        ),
        "truncate": TRUNCATE,
        "truncation_direction": TRUNCATION_DIRECTION,
    },
    example="A text to embed.",
    example_parameters={"pooling": "mean", "normalize": True},
)
