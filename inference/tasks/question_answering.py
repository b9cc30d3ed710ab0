"""question-answering: the part of a text that answers a question."""

from inference.tasks.base import Task
from inference.tasks.inputs import QuestionInput
from inference.tasks.parameters import Flag, Parameter, Whole

TASK = Task(
    name="question-answering",
    summary="The part of a text that answers a question.",
    input=QuestionInput(),
    output="answers",
    parameters={
        "top_k": Parameter(kind=Whole(1, 100), meaning="how many answers, best first"),
        "max_answer_len": Parameter(kind=Whole(1, 1000), meaning="longest answer, in tokens"),
        "handle_impossible_answer": Parameter(kind=Flag(), meaning="no answer may be the best one"),
        "align_to_words": Parameter(kind=Flag(), meaning="answers begin and end with whole words, as by default"),
        "max_seq_len": Parameter(kind=Whole(8, 8192), meaning="tokens of question and context that are read at once"),
        "doc_stride": Parameter(kind=Whole(0, 8192), meaning="tokens of a long context that are read twice"),
        "max_question_len": Parameter(kind=Whole(1, 8192), meaning="no effect, since a question is never cut"),
    },
    example={"question": "Where does Clara live?", "context": "My name is Clara and I live in Berkeley."},
)
