"""fill-mask: the likeliest words in the place of each mask."""

from inference.tasks.base import Task
from inference.tasks.inputs import TextInput
from inference.tasks.parameters import TRUNCATE, Parameter, Texts, Whole

TASK = Task(
    name="fill-mask",
    summary="The likeliest words in the place of each mask.",
    input=TextInput(masked=True),
    output="fills",
    parameters={
        "top_k": Parameter(kind=Whole(1, 1000), meaning="how many answers, best first", within_vocabulary=True),
        "targets": Parameter(kind=Texts(100, 100), meaning="only score these words"),
        "truncate": TRUNCATE,
    },
    example="Paris is the {mask} of France.",
    example_parameters={"top_k": 3},
)
