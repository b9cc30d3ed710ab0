"""summarization: what a text says, in fewer words."""

from inference.tasks.base import Task
from inference.tasks.inputs import TextInput
from inference.tasks.text2text_generation import WRITING

TASK = Task(
    name="summarization",
    summary="What a text says, in fewer words.",
    input=TextInput(),
    output="text",
    parameters=WRITING,
    forward=frozenset(WRITING),
    samples=True,
    more_parameters="generate_parameters",
    example="The tower is 324 metres tall, about as tall as a building of 81 storeys, and the tallest in Paris.",
    text_field="summary_text",
)
