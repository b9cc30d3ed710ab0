"""automatic-speech-recognition: what is said in a recording."""

from dataclasses import dataclass
from typing import Any

from inference.tasks.base import Task
from inference.tasks.inputs import MediaInput
from inference.tasks.media import EXAMPLE_RECORDING
from inference.tasks.parameters import Choice, Name, Number, Parameter, Whole
from inference.tasks.schemas import Schema

LONGEST_CHUNK_S = 30


@dataclass(frozen=True)
class Timestamps:
    """Which of them a model can give, its worker knows."""

    def accepts(self, value: Any) -> bool:
        return isinstance(value, bool) or (isinstance(value, str) and value in ("word", "char"))

    def schema(self) -> Schema:
        return {"enum": [True, False, "word", "char"]}

    def __str__(self) -> str:
        return 'true, false, "word" or "char"'


TASK = Task(
    name="automatic-speech-recognition",
    summary="What is said in a recording.",
    input=MediaInput("audio"),
    output="transcript",
    parameters={
        "return_timestamps": Parameter(
            kind=Timestamps(),
            meaning="`chunks` with times beside the text: of phrases (true, Whisper), words, or characters (CTC)",
        ),
        "chunk_length_s": Parameter(
            kind=Number(1, LONGEST_CHUNK_S), meaning="seconds of the overlapping chunks that a recording is cut into"
        ),
        "stride_length_s": Parameter(
            kind=Number(0, LONGEST_CHUNK_S / 3),
            meaning="seconds by which chunks overlap at each end, at most a third of `chunk_length_s`",
        ),
        "language": Parameter(kind=Name(32), meaning="language of the speech, such as `en` or `english` (Whisper)"),
        "task": Parameter(
            kind=Choice(("transcribe", "translate")), meaning="what is written, or its translation to English (Whisper)"
        ),
        "max_new_tokens": Parameter(kind=Whole(1, 4096), meaning="most tokens for each window of speech (Whisper)"),
        "num_beams": Parameter(kind=Whole(1, 16), meaning="texts that are compared; 1 is the fastest (Whisper)"),
    },
    text_field="text",
    forward=frozenset({"return_timestamps", "task", "max_new_tokens", "num_beams"}),
    example=EXAMPLE_RECORDING,
)
