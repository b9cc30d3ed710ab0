"""text-to-speech: a text as a recording."""

from inference.tasks.base import Task
from inference.tasks.inputs import TextInput
from inference.tasks.parameters import Choice, Parameter, Whole

TASK = Task(
    name="text-to-speech",
    summary="A text as a recording.",
    aliases=("text-to-audio",),
    input=TextInput(),
    output="media",
    parameters={
        "format": Parameter(kind=Choice(("wav", "flac")), meaning="what the recording is written as; `wav` by default"),
        "speaker_id": Parameter(kind=Whole(0, 100_000), meaning="which of the model's voices speaks, from 0"),
        "seed": Parameter(kind=Whole(0, 2**31 - 1), meaning="equal seeds give equal recordings"),
    },
    samples=True,
    example="A text to speak.",
)
