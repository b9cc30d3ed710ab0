"""visual-question-answering: likely answers to a question about an image."""

from inference.tasks.base import Task
from inference.tasks.inputs import MediaQuestionInput
from inference.tasks.media import EXAMPLE_IMAGE
from inference.tasks.parameters import Parameter, Whole

TASK = Task(
    name="visual-question-answering",
    summary="Likely answers to a question about an image.",
    aliases=("vqa",),
    input=MediaQuestionInput("image"),
    output="answers",
    parameters={"top_k": Parameter(kind=Whole(1, 1000), meaning="how many answers, best first")},
    example={"image": EXAMPLE_IMAGE, "question": "What colour is it?"},
)
