"""zero-shot-classification: which of the client's own labels fit a text."""

from inference.tasks.base import Task
from inference.tasks.inputs import TextInput
from inference.tasks.parameters import TRUNCATE, Flag, Parameter, Template, Texts

TASK = Task(
    name="zero-shot-classification",
    summary="Which of the client's own labels fit a text.",
    input=TextInput(),
    output="labels",
    parameters={
        "candidate_labels": Parameter(kind=Texts(64, 200), meaning="the labels to choose from", required=True),
        "multi_label": Parameter(kind=Flag(), meaning="score each label for itself"),
        "hypothesis_template": Parameter(kind=Template(500), meaning="the sentence around a label"),
        "truncate": TRUNCATE,
    },
    example="I have a problem with my phone.",
    example_parameters={"candidate_labels": ["urgent", "not urgent"]},
)
