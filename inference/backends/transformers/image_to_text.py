"""image-to-text: images are read in batches, and their texts generated in as many steps as the longest of them has.
transformers 5 has no such pipeline; answers are those of transformers 4.57.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from inference.backends.base import LoadFailed
from inference.backends.transformers.image_task import ImageTask, preprocessing
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.stacked import StackedJob, size_of
from inference.backends.transformers.task import TransformersTask
from inference.conf import Conf
from inference.errors import Invalid
from inference.messaging.messages import Job

NEW_TOKENS = 256
"""The pipeline's default, where the model's own configuration has none."""
LIBRARYS_MAX_LENGTH = 20
"""The default of transformers, which says nothing of a model."""
UNITS_PER_STEP = 32
"""Of an image: reading it takes about as long as so many new tokens of the text."""
MODELS = ("vision-encoder-decoder", "blip", "git")


@dataclass(eq=False, slots=True)
class CaptionJob(StackedJob):
    """Its size is in steps of the model."""

    new_tokens: int = 0
    stopped: bool = False

    @property
    def tokens(self) -> int:
        return self.new_tokens + size_of(self) // UNITS_PER_STEP

    def stop(self) -> None:
        self.stopped = True


class Stopped(StoppingCriteria):  # type: ignore[misc]
    """Ends the texts that nobody waits for any more."""

    def __init__(self, group: Sequence[CaptionJob]) -> None:
        self._group = group

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        beams = len(input_ids) // len(self._group)
        return torch.tensor([item.stopped for item in self._group for _ in range(beams)], device=input_ids.device)


class ImageToText(ImageTask):
    most_in_pass = 0  # most of the time goes into the steps of the texts, which are as long for many as for a few

    def __init__(self, loaded: Loaded, conf: Conf) -> None:
        super().__init__(loaded, conf)
        positions = getattr(self._model.config.get_text_config(decoder=True), "max_position_embeddings", None)
        self._room = max(1, (positions or self.description.longest_input) - 2)  # beside what a text begins with
        configured = self._model.generation_config
        self._defaults: dict[str, int] = {}
        if not configured.max_new_tokens and configured.max_length in (None, LIBRARYS_MAX_LENGTH):
            self._defaults["max_new_tokens"] = min(NEW_TOKENS, self._room)

    def prepared(self, job: Job) -> CaptionJob:
        wanted = job.parameters.get("max_new_tokens", 0)
        if wanted > self._room:
            raise Invalid(f"Parameter max_new_tokens is {wanted}; this model writes at most {self._room}.")
        image = self.read(job)
        with preprocessing(image):
            tensors = self._pipe.image_processor(images=image, return_tensors="pt").to(self._model.dtype)
        return CaptionJob(job, dict(tensors), new_tokens=wanted or self._usual())

    @torch.inference_mode()
    def forward(self, group: Sequence[Any]) -> list[Any]:
        """Token ids of each text."""
        rows = self._generate(group, stopping_criteria=StoppingCriteriaList([Stopped(group)]))
        return [{"ids": row.tolist()} for row in rows]

    @torch.inference_mode()
    def compared(self, group: Sequence[Any]) -> torch.Tensor:
        first: torch.Tensor = self._generate(
            group, max_new_tokens=1, num_beams=1, output_logits=True, return_dict_in_generate=True
        ).logits[0]
        return first.flatten()

    def finish(self, item: StackedJob, outputs: Any) -> Any:
        return [{"generated_text": self._pipe.tokenizer.decode(outputs["ids"], skip_special_tokens=True)}]

    def _generate(self, group: Sequence[CaptionJob], **options: Any) -> Any:
        """``group`` is of jobs with equal parameters."""
        stacked = {name: torch.cat([item.tensors[name] for item in group]) for name in group[0].tensors}
        on_device = {name: tensor.to(self._pipe.device) for name, tensor in stacked.items()}
        return self._model.generate(**on_device, **self._defaults | group[0].job.parameters | options)

    def _usual(self) -> int:
        """The most tokens of a text whose request does not say so."""
        configured = self._model.generation_config
        return int(self._defaults.get("max_new_tokens") or configured.max_new_tokens or configured.max_length)


def check_model(model: str, config: Any) -> None:
    """Raises ``LoadFailed``."""
    if config.model_type not in MODELS:
        raise LoadFailed(f"{model} is of type {config.model_type}; image-to-text is served for {', '.join(MODELS)}.")


TASK = TransformersTask(
    auto_class="AutoModelForImageTextToText",
    architectures=("VisionEncoderDecoderModel", "BlipForConditionalGeneration", "GitForCausalLM"),
    check=check_model,
    parts=("tokenizer", "image_processor"),
    has_pipeline=False,
    stacked=ImageToText,
)
