"""feature-extraction: token vectors as the pipeline returns them, or pooled to one vector per input."""

from typing import Any

import torch

from inference.backends.transformers.encoder import Encoder
from inference.backends.transformers.rows import Row, TokenizedJob, check_length
from inference.backends.transformers.task import TransformersTask
from inference.messaging.messages import Job


class FeatureExtraction(Encoder):
    """Pooling happens here rather than at the client: the token vectors of one input may be a megabyte of JSON."""

    token_outputs = ("last_hidden_state",)

    def finish(self, item: TokenizedJob, rows: list[dict[str, Any]]) -> Any:
        vectors = rows[0]["last_hidden_state"].float()
        match item.postprocess.get("pooling", "none"):
            case "mean":
                vectors = vectors.mean(1)
            case "cls":
                vectors = vectors[:, 0]
        if item.postprocess.get("normalize"):
            vectors = torch.nn.functional.normalize(vectors, dim=-1)
        return vectors.tolist() if vectors.ndim > 2 else vectors[0].tolist()

    def checked(self, job: Job, rows: list[Row]) -> TokenizedJob:
        check_length(rows[0].length, self.description.longest_input)
        return TokenizedJob(job, rows, dict(job.parameters))


TASK = TransformersTask(
    auto_class="AutoModel",
    architectures=("Model",),
    # Checkpoints of masked language models have no pooler, and it is not used here.
    optional_weights=("pooler.",),
    encoder=FeatureExtraction,
)
