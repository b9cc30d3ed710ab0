"""decision: answers to questions about a state, with a probability for each option."""

from inference.tasks.base import Task
from inference.tasks.inputs import DecisionInput

TASK = Task(
    name="decision",
    summary="Answers to questions about a state, with a probability for each option.",
    input=DecisionInput(),
    output="decisions",
    example={
        "state": "I was charged twice for my order and want a refund.",
        "questions": {
            "refund": {"type": "noul", "instructions": "Is a refund requested?"},
            "tone": {"type": "choice", "instructions": "What is the tone?", "criteria": {"calm": None, "angry": None}},
        },
    },
)
