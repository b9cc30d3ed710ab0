"""token-classification: labelled parts of a text, such as names of persons."""

from inference.tasks.base import Task
from inference.tasks.inputs import TextInput
from inference.tasks.parameters import TRUNCATE, Choice, Parameter, Texts, Whole

TASK = Task(
    name="token-classification",
    summary="Labelled parts of a text, such as names of persons.",
    aliases=("ner",),
    input=TextInput(),
    output="spans",
    parameters={
        "aggregation_strategy": Parameter(
            kind=Choice(("none", "simple", "first", "average", "max")), meaning="join tokens to entities"
        ),
        "ignore_labels": Parameter(kind=Texts(100, 100), meaning="labels to leave out"),
        "stride": Parameter(
            kind=Whole(0, 8192), meaning="read a long text in windows that share so many tokens", takes_long=True
        ),
        "truncate": TRUNCATE,
    },
    example="My name is Clara and I live in Berkeley.",
)
