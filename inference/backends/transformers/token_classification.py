"""token-classification."""

from inference.backends.transformers.encoder import Chunked
from inference.backends.transformers.task import TransformersTask


class TokenClassification(Chunked):
    token_outputs = ("logits",)


TASK = TransformersTask(
    auto_class="AutoModelForTokenClassification",
    architectures=("ForTokenClassification",),
    encoder=TokenClassification,
)
