"""token-classification: labelled parts of a text, such as names of persons."""

from inference.tasks.base import Task
from inference.tasks.inputs import TextInput
from inference.tasks.parameters import TRUNCATE, Choice, Parameter, Texts

TASK = Task(
    name="token-classification",
    aliases=("ner",),
    input=TextInput(),
    output="spans",
    parameters={
        "aggregation_strategy": Parameter(
            kind=Choice(("none", "simple", "first", "average", "max")), meaning="join tokens to entities"
        ),
        "ignore_labels": Parameter(kind=Texts(100, 100), meaning="labels to leave out"),
        "truncate": TRUNCATE,
    },
    example="My name is Clara and I live in Berkeley.",
)
