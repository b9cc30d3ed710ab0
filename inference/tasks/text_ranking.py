"""text-ranking: which of several texts answer a query best."""

from inference.tasks.base import Task
from inference.tasks.inputs import RankingInput
from inference.tasks.parameters import TRUNCATE, TRUNCATION_DIRECTION, Flag, Parameter, Whole

TASK = Task(
    name="text-ranking",
    summary="Which of several texts answer a query best.",
    aliases=("rerank",),
    input=RankingInput(),
    output="ranking",
    parameters={
        "raw_scores": Parameter(kind=Flag(), meaning="the model's own scores instead of ones from 0 to 1"),
        "return_text": Parameter(kind=Flag(), meaning="put each text beside its score"),
        "top_n": Parameter(kind=Whole(1, 1000), meaning="how many texts, best first"),
        "truncate": TRUNCATE,
        "truncation_direction": TRUNCATION_DIRECTION,
    },
    example={
        "query": "Where does the cat sleep?",
        "texts": ["The train is late again.", "A cat is asleep on the sofa."],
    },
)
