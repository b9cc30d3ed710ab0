"""token-classification."""

from inference.backends.transformers.chunked import Chunked
from inference.backends.transformers.rows import check_length
from inference.backends.transformers.task import TransformersTask
from inference.messaging.messages import Job


class TokenClassification(Chunked):
    token_outputs = ("logits",)

    def check_uncut(self, job: Job) -> None:
        [row] = self._row_maker.rows([job.input])
        check_length(row.length, self.description.longest_input)


TASK = TransformersTask(
    auto_class="AutoModelForTokenClassification",
    architectures=("ForTokenClassification",),
    encoder=TokenClassification,
)
