"""zero-shot-image-classification: how near the vector of an image is to those of sentences with the labels.

The vectors of sentences are computed once for the same labels, whoever sends them; those of images in batches, whatever
their labels are.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import torch

from inference.backends.base import LoadFailed
from inference.backends.transformers.image_task import ImageTask
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.rows import check_length
from inference.backends.transformers.stacked import StackedJob, size_of
from inference.backends.transformers.task import TransformersTask
from inference.conf import Conf
from inference.messaging.messages import Job

MOST_KNOWN = 64
"""Sets of labels whose vectors are kept."""
MODELS = {
    "clip": "CLIPModel",
    "siglip": "SiglipModel",
    "siglip2": "Siglip2Model",
    "altclip": "AltCLIPModel",
    "chinese_clip": "ChineseCLIPModel",
    "metaclip_2": "MetaClip2Model",
}
"""Those whose scores are made of two vectors like CLIP's."""


@dataclass(eq=False, slots=True)
class LabelledJob(StackedJob):
    sentences: Any = None
    """With a label each, tokenised together."""
    key: Hashable = None
    """Equal for jobs with the same sentences."""
    new_tokens: int = 0
    """Of sentences whose vectors were not known when the job was prepared."""

    @property
    def tokens(self) -> int:
        return size_of(self) + self.new_tokens


class ZeroShotImageClassification(ImageTask):
    extras = ("candidate_labels", "text_inputs")

    def __init__(self, loaded: Loaded, conf: Conf) -> None:
        super().__init__(loaded, conf)
        config = self._model.config
        positions = getattr(getattr(config, "text_config", config), "max_position_embeddings", None)
        self._longest = min(positions or self.description.longest_input, self.description.longest_input)
        self._known: dict[Hashable, torch.Tensor] = {}
        self._lock = Lock()

    def prepared(self, job: Job) -> LabelledJob:
        item = super().prepared(job)
        [sentences] = item.extras["text_inputs"]
        ids = sentences["input_ids"]
        check_length(ids.shape[1], self._longest, "A label with the hypothesis_template around it")
        key = (ids.shape, tuple(ids.flatten().tolist()))
        new_tokens = 0 if key in self._known else ids.numel()
        return LabelledJob(job, item.tensors, item.extras, sentences=sentences, key=key, new_tokens=new_tokens)

    def compared(self, group: Sequence[StackedJob]) -> torch.Tensor:
        self._known.clear()
        logits = torch.cat([outputs["logits"].flatten() for outputs in self.forward(group)])
        self._known.clear()
        return logits

    @torch.inference_mode()
    def forward(self, group: Sequence[Any]) -> list[Any]:
        device = self._pipe.device
        pixels = {name: torch.cat([item.tensors[name] for item in group]).to(device) for name in group[0].tensors}
        seen = _normalized(self._model.get_image_features(**pixels))
        logits = [self._logits(seen[row : row + 1], self._sentences(item)).cpu() for row, item in enumerate(group)]
        return [{"logits": each} for each in logits]

    def finish(self, item: StackedJob, outputs: Any) -> Any:
        labels = item.extras["candidate_labels"]
        return self._pipe.postprocess({"logits": outputs["logits"], "candidate_labels": labels})

    def _logits(self, image: torch.Tensor, sentences: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = image @ sentences.t() * self._model.logit_scale.exp()
        bias = getattr(self._model, "logit_bias", None)
        return logits if bias is None else logits + bias

    def _sentences(self, item: LabelledJob) -> torch.Tensor:
        """A vector for each label of a job."""
        with self._lock:  # two batches may run side by side
            vectors = self._known.pop(item.key, None)
        if vectors is None:
            vectors = _normalized(self._model.get_text_features(**item.sentences.to(self._pipe.device)))
        with self._lock:
            self._known[item.key] = vectors  # the one that was used last is the last
            if len(self._known) > MOST_KNOWN:
                self._known.pop(next(iter(self._known)))
        return vectors


def _normalized(outputs: Any) -> torch.Tensor:
    return torch.nn.functional.normalize(outputs.pooler_output, dim=-1)


def check_model(model: str, config: Any) -> None:
    """Raises ``LoadFailed``."""
    if config.model_type not in MODELS:
        raise LoadFailed(
            f"{model} is of type {config.model_type}; zero-shot-image-classification is served for {', '.join(MODELS)}."
        )


TASK = TransformersTask(
    auto_class="AutoModelForZeroShotImageClassification",
    architectures=tuple(MODELS.values()),
    check=check_model,
    parts=("tokenizer", "image_processor"),
    stacked=ZeroShotImageClassification,
)
