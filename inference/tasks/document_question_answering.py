"""document-question-answering: the words of a page that answer a question, where each word and its place are known.

Words are not read from the image: send those that a program for OCR found.
"""

from inference.tasks.base import Task
from inference.tasks.inputs import DocumentInput
from inference.tasks.parameters import WORD_BOXES, Flag, Parameter, Whole

TASK = Task(
    name="document-question-answering",
    summary="The words of a page that answer a question, where each word and its place are known.",
    input=DocumentInput(),
    output="answers",
    parameters={
        "word_boxes": Parameter(kind=WORD_BOXES, meaning="the words, where they are not in the input"),
        "top_k": Parameter(kind=Whole(1, 100), meaning="how many answers, best first"),
        "max_answer_len": Parameter(kind=Whole(1, 1000), meaning="longest answer, in tokens"),
        "max_seq_len": Parameter(kind=Whole(8, 8192), meaning="tokens of question and words that are read at once"),
        "doc_stride": Parameter(kind=Whole(0, 8192), meaning="tokens of a long page that are read twice"),
        "handle_impossible_answer": Parameter(kind=Flag(), meaning="no answer may be the best one"),
    },
    example={
        "question": "How much is it?",
        "word_boxes": [["Total:", [60, 800, 160, 830]], ["42", [180, 800, 220, 830]], ["euros", [230, 800, 310, 830]]],
    },
)
