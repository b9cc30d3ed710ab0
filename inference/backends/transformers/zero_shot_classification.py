"""zero-shot-classification: a row for each label, read by a model of natural language inference."""

from typing import Any

from inference.backends.base import LoadFailed
from inference.backends.transformers.encoder import Chunked
from inference.backends.transformers.task import TransformersTask


def check_labels(model: str, config: Any) -> None:
    """Raises ``LoadFailed``. The weights of any classifier would fit, and answer nonsense."""
    labels = [str(label).lower() for label in (getattr(config, "label2id", None) or {})]
    if not any(label.startswith("entail") for label in labels):
        raise LoadFailed(
            f"{model} has no label 'entailment' (its labels: {', '.join(labels)[:200]}); "
            "zero-shot-classification needs a model that was trained for natural language inference."
        )


TASK = TransformersTask(auto_class="AutoModelForSequenceClassification", check=check_labels, encoder=Chunked)
