"""Models that say a character for each moment of a recording (CTC): Wav2Vec2, HuBERT and their relatives."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers.pipelines.automatic_speech_recognition import rescale_stride

from inference.backends.transformers.recordings import SHORTEST_S
from inference.backends.transformers.speech import Place, Speech, SpeechJob
from inference.errors import Invalid
from inference.messaging.messages import Job
from inference.tasks.abilities import WORD_TIMES

LONGEST_PASS_S = 30.0
"""The time of a pass grows with the square of its length. A longer recording is cut into chunks."""
OF_OTHERS = ("language", "task", "max_new_tokens", "num_beams")
"""Parameters of models that generate text."""


class CTC(Speech):
    """Chunks of equal length share a forward pass."""

    def pipeline_parameters(self, job: Job) -> dict[str, Any]:
        given = dict(job.parameters)
        for name in OF_OTHERS:
            if name in given:
                raise Invalid(f"Parameter {name} is for models that generate text, such as Whisper; leave it out.")
        if given.get("return_timestamps") is True:
            raise Invalid('Parameter return_timestamps is true; with this model it may be "word" or "char".')
        if given.get("return_timestamps") is False:
            del given["return_timestamps"]
        return given

    def abilities(self) -> tuple[str, ...]:
        return (WORD_TIMES,)

    def usual_chunk_s(self, seconds: float) -> float | None:
        return LONGEST_PASS_S if seconds > LONGEST_PASS_S else None

    def prepared(self, job: Job) -> SpeechJob:  # type: ignore[override]
        item = super().prepared(job)
        item.forward = {}  # all that clients may ask for concerns post-processing
        if len(item.parts) > 1 and item.parts[-1].extras["stride"][0] < SHORTEST_S * self.rate:
            item.parts.pop()  # without an overlap, the last chunk may be too short for the model
        return item

    def most_parts(self, place: Place) -> int:
        return self.together(place.part)

    def recognised(self, group: Sequence[Place]) -> list[dict[str, Any]]:
        tokens = self._pipe.forward(self.stacked(group))["tokens"]
        return [{"tokens": tokens[row : row + 1]} | self._in_tokens(place) for row, place in enumerate(group)]

    @torch.inference_mode()
    def compared(self, group: Sequence[SpeechJob]) -> torch.Tensor:  # type: ignore[override]
        inputs = self.stacked([Place(item, 0) for item in group])
        del inputs["is_last"]
        logits: torch.Tensor = self._model(**inputs).logits
        return logits

    def _in_tokens(self, place: Place) -> dict[str, Any]:
        """The overlaps of a chunk, which are in samples."""
        stride = place.part.extras.get("stride")
        return {} if stride is None else {"stride": rescale_stride([stride], 1 / self._pipe._align_to)[0]}
