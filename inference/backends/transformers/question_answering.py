"""question-answering: a row for each window of the context. transformers 5 has no such pipeline; answers are those of
transformers 4.57."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from inference.backends.base import LoadFailed
from inference.backends.transformers.answer_spans import Window, best_spans
from inference.backends.transformers.encoder import Encoder, attempt
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.rows import Row, TokenizedJob
from inference.backends.transformers.sequences import check_windows, windows_of
from inference.backends.transformers.task import TransformersTask
from inference.conf import Conf
from inference.errors import InferenceError, Invalid
from inference.messaging.messages import Job

MAX_SEQ_LEN, DOC_STRIDE, MAX_ANSWER_LEN = 384, 128, 15
"""The pipeline's defaults."""


class QuestionAnswering(Encoder):
    token_outputs = ("start_logits", "end_logits")

    def __init__(self, loaded: Loaded, conf: Conf) -> None:
        super().__init__(loaded, conf)
        if not self._tokenizer.is_fast:
            raise LoadFailed(
                f"The tokenizer of {loaded.name} does not say where in a text its tokens are, which "
                f"{loaded.task.name} needs; choose a checkpoint with a tokenizer.json."
            )
        self._question_first = self._tokenizer.padding_side == "right"

    def prepare(self, jobs: Sequence[Job]) -> list[TokenizedJob | InferenceError]:
        return [attempt(job, self._windows, job) for job in jobs]

    def finish(self, item: TokenizedJob, rows: list[dict[str, Any]]) -> Any:
        given, context = item.job.parameters, item.job.input["context"]
        top_k, whole_words = given.get("top_k", 1), given.get("align_to_words", True)
        found: dict[str, dict[str, Any]] = {}
        none = 1.0
        for row in rows:
            window: Window = row["window"]
            spans = best_spans(
                _logits(row["start_logits"]),
                _logits(row["end_logits"]),
                window.candidates,
                longest=given.get("max_answer_len", MAX_ANSWER_LEN),
                most=2 * top_k + 10 if whole_words else top_k,  # whole words make some of them the same
            )
            none = min(none, spans.none)
            for score, first, last in spans:
                start, end = window.characters(first, last, whole_words=whole_words)
                answer = {"score": 0.0, "start": start, "end": end, "answer": context[start:end]}
                found.setdefault(context[start:end].lower(), answer)["score"] += score
        answers = [*found.values()]
        if given.get("handle_impossible_answer") or not answers:
            answers.append({"score": none, "start": 0, "end": 0, "answer": ""})
        answers.sort(key=lambda answer: answer["score"], reverse=True)
        return answers[0] if top_k == 1 else answers[:top_k]

    def _windows(self, job: Job) -> TokenizedJob:
        question, context = job.input["question"], job.input["context"]
        length, overlap = self._sizes(job)
        encoded = self._tokenizer(
            *((question, context) if self._question_first else (context, question)),
            truncation="only_second" if self._question_first else "only_first",
            max_length=length,
            stride=overlap,
            return_overflowing_tokens=True,
            verbose=False,
        )
        names = [name for name in self._tokenizer.model_input_names if name in encoded]
        return TokenizedJob(
            job,
            [
                Row({name: encoded[name][index] for name in names}, {"window": self._window(encoding)})
                for index, encoding in enumerate(encoded.encodings)
            ],
        )

    def _sizes(self, job: Job) -> tuple[int, int]:
        """Tokens of a window, and of it those that are in the one before.

        Raises:
            Invalid: question and context do not fit into windows like that.
        """
        longest, given = self.description.longest_input, job.parameters
        length: int = given.get("max_seq_len", min(longest, MAX_SEQ_LEN))
        if length > longest:
            raise Invalid(f"Parameter max_seq_len is {length}; this model takes at most {longest}.")
        others = self._tokenizer.num_special_tokens_to_add(pair=True)
        tokens, room = self._tokens(job.input["question"]), length - others
        if tokens >= room:
            raise Invalid(
                f"The question has {tokens} tokens; of {length} that are read at once it may have {room - 1}."
            )
        room -= tokens
        overlap: int = given.get("doc_stride", min(length // 2, DOC_STRIDE, room - 1))
        if (tokens := self._tokens(job.input["context"])) <= room:
            return length, 0
        if overlap >= room:
            raise Invalid(
                f"Parameter doc_stride is {overlap}; the question leaves {room} of {length} tokens for "
                "the context, so it must be less."
            )
        check_windows(windows_of(tokens, room, overlap))
        return length, overlap

    def _tokens(self, text: str) -> int:
        return len(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _window(self, encoding: Any) -> Window:
        """Where the context comes first, the pipeline takes answers from the question, too."""
        if not self._question_first:
            return Window(encoding, np.ones(len(encoding.ids), dtype=bool), context=0)
        of_context = np.array([sequence == 1 for sequence in encoding.sequence_ids])
        return Window(encoding, of_context | (np.array(encoding.ids) == self._tokenizer.cls_token_id), context=1)


def _logits(tensor: torch.Tensor) -> Any:
    return tensor[0].float().numpy()


TASK = TransformersTask(
    auto_class="AutoModelForQuestionAnswering",
    architectures=("ForQuestionAnswering", "ForQuestionAnsweringSimple"),
    pipeline="feature-extraction",
    encoder=QuestionAnswering,
)
