"""text-to-speech."""

import io
from typing import Any

import soundfile
import torch

from inference.backends.base import BatchedPipeline
from inference.backends.transformers.description import describe
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.rows import TokenizedJob
from inference.backends.transformers.task import Report, TransformersTask
from inference.backends.transformers.unbatched import Unbatched
from inference.conf import Conf
from inference.errors import Invalid
from inference.messaging.messages import Job
from inference.tasks.media import RECORDINGS, Media

MOST_TOKENS = 2048
"""Of a text where the model has no limit of its own. VITS has two for each letter; a minute of speech and a gigabyte of
memory come of so many."""


class Speaking(Unbatched):
    """Each text in a call of its own: recordings differ in length, and padding would be heard."""

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded)
        self.description = describe(loaded, most_tokens=MOST_TOKENS)

    def _prepare(self, job: Job) -> TokenizedJob:
        config = self._pipe.model.config
        last = max(1, getattr(config, "num_speakers", 1)) - 1
        if (wanted := job.parameters.get("speaker_id", 0)) > last:
            raise Invalid(f"Parameter speaker_id is {wanted}; the last voice of this model is {last}.")
        item = super()._prepare(job)
        tokens = item.rows[0].inputs["input_ids"]
        if not self._tokenizer.decode(tokens, skip_special_tokens=True).strip():
            raise Invalid("The input has no characters that this model can speak.")
        if max(tokens) >= (getattr(config, "vocab_size", None) or len(self._tokenizer)):
            raise Invalid("The input has characters that this model does not know.")
        return item

    def _call(self, item: TokenizedJob) -> Media:
        parameters = item.job.parameters
        torch.manual_seed(parameters["seed"])
        forward = {"speaker_id": parameters["speaker_id"]} if "speaker_id" in parameters else {}
        return written(self._pipe(item.job.input, forward_params=forward), parameters.get("format", "wav"))


def written(spoken: Any, kind: str) -> Media:
    """A pipeline's recording as a file, of 16 bits; louder than full scale becomes full scale."""
    file = io.BytesIO()
    soundfile.write(file, spoken["audio"].T, spoken["sampling_rate"], format=kind.upper(), subtype="PCM_16")
    return Media(file.getvalue(), RECORDINGS[kind.upper()])


def build(loaded: Loaded, conf: Conf, report: Report) -> BatchedPipeline:
    return Speaking(loaded)


TASK = TransformersTask(
    auto_class="AutoModelForTextToWaveform",
    architectures=("VitsModel",),
    pipeline="text-to-audio",
    encodes=False,
    build=build,
    warm_up_parameters={"seed": 0},
)
