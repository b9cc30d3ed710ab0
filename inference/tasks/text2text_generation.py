"""text2text-generation: the text that a model writes about another, whatever it was trained to write."""

from inference.tasks.base import Task
from inference.tasks.inputs import TextInput
from inference.tasks.parameters import TRUNCATE, Choice, Flag, Number, Parameter, Whole
from inference.tasks.text_generation import GENERATION

WRITING = GENERATION | {
    "max_new_tokens": Parameter(kind=Whole(1, 4096), meaning="longest text, in tokens"),
    "num_beams": Parameter(
        kind=Whole(1, 16), meaning="search with so many beams, then there is no stream; 1: take the likeliest token"
    ),
    "length_penalty": Parameter(kind=Number(-10, 10), meaning="with beams; above 0: longer"),
    "early_stopping": Parameter(kind=Flag(), meaning="with beams: end with the first texts that are complete"),
    "no_repeat_ngram_size": Parameter(kind=Whole(0, 100), meaning="never repeat so many tokens in a row"),
    "min_length": Parameter(kind=Whole(0, 4096), meaning="shortest text, in tokens"),
    "max_length": Parameter(kind=Whole(2, 4097), meaning="like max_new_tokens, one more"),
    "truncate": TRUNCATE,
    "truncation": Parameter(
        kind=Choice(("do_not_truncate", "longest_first", "only_first")),
        meaning="the same, as transformers says it",
        takes_long=True,
    ),
    "clean_up_tokenization_spaces": Parameter(kind=Flag(), meaning="no spaces before punctuation"),
}
"""Parameters of tasks whose texts a decoder writes about what an encoder has read."""

TASK = Task(
    name="text2text-generation",
    summary="The text that a model writes about another, whatever it was trained to write.",
    input=TextInput(),
    output="text",
    parameters=WRITING,
    forward=frozenset(WRITING),
    samples=True,
    more_parameters="generate_parameters",
    example="Once upon a time",
)
