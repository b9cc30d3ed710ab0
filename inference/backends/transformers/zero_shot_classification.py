"""zero-shot-classification: a row for each label, read by a model of natural language inference."""

from typing import Any

from inference.backends.base import LoadFailed
from inference.backends.transformers.chunked import Chunked
from inference.backends.transformers.rows import Row, TokenizedJob, check_length
from inference.backends.transformers.task import TransformersTask
from inference.errors import Invalid
from inference.messaging.messages import Job

TEMPLATE = "This example is {}."
"""The pipeline's default."""


class ZeroShotClassification(Chunked):
    """A row is the text and a hypothesis: a label in its template. Only the text may be cut."""

    def checked(self, job: Job, rows: list[Row]) -> TokenizedJob:
        for number, row in enumerate(rows):
            if row.length >= self.description.longest_input:
                self._check_hypothesis(job, number)
        return super().checked(job, rows)

    def finish(self, item: TokenizedJob, rows: list[dict[str, Any]]) -> Any:
        return super().finish(item, rows) | {"sequence": item.job.input}

    def check_uncut(self, job: Job) -> None:
        numbers = range(len(_labels(job)))
        for number in numbers:
            self._check_hypothesis(job, number)
        longest = max(
            row.length for row in self._row_maker.rows([(job.input, self._hypothesis(job, n)) for n in numbers])
        )
        check_length(longest, self.description.longest_input, "The input with a label in its hypothesis_template")

    def _check_hypothesis(self, job: Job, number: int) -> None:
        """Raises ``Invalid`` if it leaves no room for the text."""
        most = self.description.longest_input - self._tokenizer.num_special_tokens_to_add(pair=True) - 1
        ids = self._tokenizer(self._hypothesis(job, number), add_special_tokens=False, verbose=False)["input_ids"]
        if len(ids) > most:
            raise Invalid(
                f"candidate_labels[{number}] has {len(ids)} tokens with its hypothesis_template; "
                f"this model takes at most {most}."
            )

    def _hypothesis(self, job: Job, number: int) -> str:
        template: str = job.parameters.get("hypothesis_template", TEMPLATE)
        return template.format(_labels(job)[number])


def _labels(job: Job) -> list[str]:
    labels: list[str] = job.parameters["candidate_labels"]
    return labels


def check_labels(model: str, config: Any) -> None:
    """Raises ``LoadFailed``. The weights of any classifier would fit, and answer nonsense."""
    labels = [str(label).lower() for label in (getattr(config, "label2id", None) or {})]
    if not any(label.startswith("entail") for label in labels):
        raise LoadFailed(
            f"{model} has no label 'entailment' (its labels: {', '.join(labels)[:200]}); "
            "zero-shot-classification needs a model that was trained for natural language inference."
        )


TASK = TransformersTask(
    auto_class="AutoModelForSequenceClassification", check=check_labels, encoder=ZeroShotClassification
)
