"""translation: a text in another language."""

from inference.tasks.base import Task
from inference.tasks.inputs import TextInput
from inference.tasks.parameters import Name, Parameter
from inference.tasks.text2text_generation import WRITING

PARAMETERS = WRITING | {
    "src_lang": Parameter(kind=Name(32), meaning="the language of the input, as the model calls it"),
    "tgt_lang": Parameter(kind=Name(32), meaning="the language to translate to, as the model calls it"),
}

TASK = Task(
    name="translation",
    summary="A text in another language.",
    input=TextInput(),
    output="text",
    parameters=PARAMETERS,
    forward=frozenset(PARAMETERS),
    samples=True,
    more_parameters="generate_parameters",
    example="The house is wonderful.",
    text_field="translation_text",
)
