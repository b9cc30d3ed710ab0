"""sentence-similarity: how close in meaning each of several sentences is to another, from -1 to 1."""

from inference.tasks.base import Task
from inference.tasks.inputs import SentencesInput
from inference.tasks.parameters import TRUNCATE, TRUNCATION_DIRECTION

TASK = Task(
    name="sentence-similarity",
    summary="How close in meaning each of several sentences is to another, from -1 to 1.",
    input=SentencesInput(),
    output="scores",
    parameters={"truncate": TRUNCATE, "truncation_direction": TRUNCATION_DIRECTION},
    example={
        "source_sentence": "The cat sleeps on the sofa.",
        "sentences": ["A cat is asleep on a couch.", "The train is late again."],
    },
)
