"""document-question-answering: a row for each window of a page's words, with the places of the words."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from inference.backends.base import LoadFailed
from inference.backends.transformers.encoder import Encoder, attempt
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.rows import Row, TokenizedJob
from inference.backends.transformers.sequences import check_windows
from inference.backends.transformers.task import TransformersTask
from inference.conf import Conf
from inference.errors import InferenceError, Invalid
from inference.messaging.messages import Job
from inference.tasks.parameters import WORD_BOXES

BITS = 10
"""Of a side of a box, from 0 to 1000. A row has one number for each token, so a box is packed into one."""
STRIDE = 256
"""The pipeline's default."""
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class DocumentQuestionAnswering(Encoder):
    token_outputs = ("start_logits", "end_logits")

    def __init__(self, loaded: Loaded, conf: Conf) -> None:
        super().__init__(loaded, conf)
        self._model = partial(with_boxes, loaded.pipe.model)
        # ``preprocess`` cuts to this; a tokenizer may have no limit of its own, or a higher one than the model.
        self._pipe.tokenizer.model_max_length = self.description.longest_input

    def prepare(self, jobs: Sequence[Job]) -> list[TokenizedJob | InferenceError]:
        return [attempt(job, self._windows, job) for job in jobs]

    def finish(self, item: TokenizedJob, rows: list[dict[str, Any]]) -> Any:
        return self._pipe.postprocess(rows, **self._pipe._postprocess_params | item.postprocess)

    def _windows(self, job: Job) -> TokenizedJob:
        given = dict(job.parameters)
        words = given.pop("word_boxes", None) or job.input.get("word_boxes")
        if words is None:
            raise Invalid(f"The input has no word_boxes, and there is no OCR here; send {WORD_BOXES}.")
        pre, _, post = self._pipe._sanitize_parameters(**given)
        length, overlap = self._sizes(job)
        document = {"question": job.input["question"], "word_boxes": words}
        pre = self._pipe._preprocess_params | pre | {"max_seq_len": length, "doc_stride": overlap}
        rows = [_row(window) for window in self._pipe.preprocess(document, **pre)]
        check_windows(len(rows))
        return TokenizedJob(job, rows, post)

    def _sizes(self, job: Job) -> tuple[int, int]:
        """Tokens of a window, and of it those that are in the one before.

        Raises:
            Invalid: question and words do not fit into windows like that.
        """
        longest = self.description.longest_input
        length: int = job.parameters.get("max_seq_len", longest)
        if length > longest:
            raise Invalid(f"Parameter max_seq_len is {length}; this model takes at most {longest}.")
        words = job.input["question"].split()
        encoded = self._tokenizer(words, is_split_into_words=True, add_special_tokens=False, verbose=False)
        tokens = len(encoded["input_ids"])
        room = length - self._tokenizer.num_special_tokens_to_add(pair=True) - tokens
        if room < 1:
            raise Invalid(f"The question has {tokens} tokens, and the model reads {length} at once; shorten it.")
        overlap: int = job.parameters.get("doc_stride", min(length // 2, STRIDE, room - 1))
        if overlap >= room:
            raise Invalid(
                f"Parameter doc_stride is {overlap}; the question leaves {room} of {length} tokens for the words, "
                "so it must be less."
            )
        return length, overlap


def with_boxes(model: Any, *, bbox: torch.Tensor, **inputs: Any) -> Any:
    """The model's outputs for boxes that are packed."""
    sides = [bbox >> BITS * place & 2**BITS - 1 for place in (3, 2, 1, 0)]
    return model(bbox=torch.stack(sides, -1), **inputs)


def _row(window: dict[str, Any]) -> Row:
    boxes = [sum(side << BITS * (3 - place) for place, side in enumerate(box)) for box in window["bbox"][0].tolist()]
    tokens = {name: window[name][0].tolist() for name in INPUTS if name in window}
    extras = {name: window[name] for name in ("p_mask", "word_ids", "words", "attention_mask")}
    return Row(tokens | {"bbox": boxes}, extras)


def check_model(model: str, config: Any) -> None:
    """Raises ``LoadFailed``."""
    if config.model_type != "layoutlm":
        raise LoadFailed(
            f"{model} is of type {config.model_type}; document-question-answering is served for layoutlm, which reads "
            "words and their places."
        )


TASK = TransformersTask(
    auto_class="AutoModelForDocumentQuestionAnswering",
    architectures=("LayoutLMForQuestionAnswering", "LayoutLMv2ForQuestionAnswering", "LayoutLMv3ForQuestionAnswering"),
    check=check_model,
    encoder=DocumentQuestionAnswering,
)
