"""token-classification: labels of words; a long text in overlapping windows, as the pipeline's ``stride`` has it."""

from typing import Any

import torch

from inference.backends.transformers.chunked import Chunked
from inference.backends.transformers.encoder import truncates
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.rows import Row, TokenizedJob, check_length
from inference.backends.transformers.sequences import check_windows, windows_of
from inference.backends.transformers.task import TransformersTask
from inference.conf import Conf
from inference.errors import Invalid
from inference.messaging.messages import Job


class TokenClassification(Chunked):
    token_outputs = ("logits",)

    def __init__(self, loaded: Loaded, conf: Conf) -> None:
        super().__init__(loaded, conf)
        if self._pipe.tokenizer.pad_token_id is None:
            # ``preprocess`` pads the last window, which is undone below.
            self._pipe.tokenizer.pad_token = self._pipe.tokenizer.eos_token

    def check_uncut(self, job: Job) -> None:
        if "stride" not in job.parameters:
            [row] = self._row_maker.rows([job.input])
            check_length(row.length, self.description.longest_input)

    def _prepare(self, job: Job) -> TokenizedJob:
        if "stride" in job.parameters:
            self._check_stride(job)
        return super()._prepare(job)

    def _check_stride(self, job: Job) -> None:
        """Raises ``Invalid`` where the pipeline raises something else, or cuts instead."""
        stride, strategy = job.parameters["stride"], job.parameters.get("aggregation_strategy", "none")
        if strategy == "none":
            raise Invalid(
                "Parameter stride needs an aggregation_strategy other than none, which says how words of several "
                "windows are joined; send one of simple, first, average, max."
            )
        if truncates(job):
            raise Invalid("stride reads all of a text and truncate only a part; leave one of them out.")
        if not self._tokenizer.is_fast:
            raise Invalid("This model's tokenizer cannot cut a text into windows; leave stride out.")
        room = self.description.longest_input - self._tokenizer.num_special_tokens_to_add()
        if stride >= room:
            raise Invalid(f"Parameter stride is {stride}; a window has {room} tokens of the text, so it must be less.")
        tokens = len(self._tokenizer(job.input, add_special_tokens=False, verbose=False)["input_ids"])
        check_windows(windows_of(tokens, room, stride))

    def _as_row(self, chunk: dict[str, Any]) -> Row:
        """Without padding."""
        text = chunk["attention_mask"][0].bool() if "attention_mask" in chunk else None
        if text is not None and not text.all():
            chunk = {name: value[:, text] if torch.is_tensor(value) else value for name, value in chunk.items()}
        return super()._as_row(chunk)


TASK = TransformersTask(
    auto_class="AutoModelForTokenClassification",
    architectures=("ForTokenClassification",),
    encoder=TokenClassification,
)
