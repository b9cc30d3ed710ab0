"""visual-question-answering with a model whose answers are classes, as ViLT. transformers 5 has no such pipeline;
answers are those of transformers 4.57.
"""

from collections.abc import Sequence
from typing import Any

import torch

from inference.backends.base import LoadFailed
from inference.backends.transformers.image_task import ImageTask, preprocessing
from inference.backends.transformers.images import read_image
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.rows import Padded, Row, check_length
from inference.backends.transformers.stacked import StackedJob
from inference.backends.transformers.task import TransformersTask
from inference.conf import Conf
from inference.messaging.messages import Job

TOP_K = 5
"""The pipeline's default."""


class VisualQuestionAnswering(ImageTask):
    """Images of one size share a forward pass, whatever the lengths of their questions."""

    def __init__(self, loaded: Loaded, conf: Conf) -> None:
        super().__init__(loaded, conf)
        self._padding = Padded(loaded.pipe.tokenizer, loaded.pipe.device)

    def read(self, job: Job) -> Any:
        return read_image(job.input["image"])

    def prepared(self, job: Job) -> StackedJob:
        question = Row(dict(self._pipe.tokenizer(job.input["question"], verbose=False)))
        check_length(question.length, self.description.longest_input, "The question")
        image = self.read(job)
        with preprocessing(image):
            tensors = self._pipe.image_processor(images=image, return_tensors="pt").to(self._model.dtype)
        return StackedJob(job, dict(tensors), {"question": question}, input_tokens=question.length)

    @torch.inference_mode()
    def forward(self, group: Sequence[StackedJob]) -> list[Any]:
        images = {name: torch.cat([item.tensors[name] for item in group]) for name in group[0].tensors}
        on_device = {name: tensor.to(self._pipe.device) for name, tensor in images.items()}
        questions = self._padding.arguments([item.extras["question"] for item in group])
        logits = self._model(**questions, **on_device).logits.float().cpu()
        return [{"logits": row} for row in logits]

    def finish(self, item: StackedJob, outputs: Any) -> Any:
        probabilities = outputs["logits"].sigmoid()
        best = probabilities.topk(min(item.job.parameters.get("top_k", TOP_K), len(probabilities)))
        names = self._model.config.id2label
        return [
            {"score": score, "answer": names[number]}
            for score, number in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]


def check_model(model: str, config: Any) -> None:
    """Raises ``LoadFailed``."""
    if config.model_type != "vilt":
        raise LoadFailed(
            f"{model} is of type {config.model_type}; visual-question-answering is served for vilt, whose answers are "
            "classes."
        )


TASK = TransformersTask(
    auto_class="AutoModelForVisualQuestionAnswering",
    architectures=("ViltForQuestionAnswering",),
    check=check_model,
    parts=("tokenizer", "image_processor"),
    has_pipeline=False,
    stacked=VisualQuestionAnswering,
)
