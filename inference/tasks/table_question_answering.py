"""table-question-answering: the cells of a table that answer a question, and what is to be computed of them."""

from inference.tasks.base import Task
from inference.tasks.inputs import TableInput
from inference.tasks.parameters import Flag, Parameter

TASK = Task(
    name="table-question-answering",
    summary="The cells of a table that answer a question, and what is to be computed of them.",
    input=TableInput(),
    output="cells",
    parameters={
        "truncate": Parameter(kind=Flag(), meaning="leave out the last rows that are too many for the model"),
    },
    example={"query": "When was Alan born?", "table": {"name": ["Ada", "Alan"], "born": ["1815", "1912"]}},
)
