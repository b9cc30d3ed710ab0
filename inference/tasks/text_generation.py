"""text-generation: what comes after a text, or the answer to a chat."""

from inference.tasks.base import Task
from inference.tasks.biases import TokenBiases
from inference.tasks.grammars import Grammar
from inference.tasks.inputs import ChatOrTextInput
from inference.tasks.parameters import Flag, Number, Parameter, Texts, Whole

GENERATION = {
    "max_new_tokens": Parameter(kind=Whole(1, 4096), meaning="longest continuation, in tokens"),
    "do_sample": Parameter(kind=Flag(), meaning="draw tokens instead of taking the likeliest"),
    "temperature": Parameter(kind=Number(0.01, 100), meaning="above 1: more random"),
    "top_k": Parameter(kind=Whole(1, 1000), meaning="draw from the k likeliest tokens"),
    "top_p": Parameter(kind=Number(0.001, 1), meaning="draw from the likeliest tokens that make up p"),
    "repetition_penalty": Parameter(kind=Number(0.01, 100), meaning="above 1: repeats less"),
    "seed": Parameter(kind=Whole(0, 2**31 - 1), meaning="makes sampling repeatable"),
    "stop": Parameter(kind=Texts(16, 100), meaning="the text ends after one of these"),
}

CHOICE = {
    "min_new_tokens": Parameter(kind=Whole(0, 4096), meaning="the model does not end the text before it has so many"),
    "frequency_penalty": Parameter(kind=Number(-2, 2), meaning="above 0: a token comes less, the more often it has"),
    "presence_penalty": Parameter(kind=Number(-2, 2), meaning="above 0: a token that has come comes less"),
    "logit_bias": Parameter(
        kind=TokenBiases(300, Number(-100, 100)),
        meaning="what is added to the scores of tokens, by their ids",
        within_vocabulary=True,
    ),
}
"""Of texts that are generated without beams."""

GRAMMAR = {
    "grammar": Parameter(kind=Grammar(), meaning="the text is JSON by a schema, or matches a regular expression")
}

PARAMETERS = (
    GENERATION
    | CHOICE
    | GRAMMAR
    | {
        "return_full_text": Parameter(kind=Flag(), meaning="put the prompt before the continuation"),
        "top_n_tokens": Parameter(kind=Whole(0, 20), meaning="tell so many of the likeliest tokens with each token"),
    }
)

TASK = Task(
    name="text-generation",
    summary="What comes after a text, or the answer to a chat.",
    input=ChatOrTextInput(),
    output="text",
    parameters=PARAMETERS,
    forward=frozenset(GENERATION | CHOICE | GRAMMAR),
    samples=True,
    example="Once upon a time",
)
