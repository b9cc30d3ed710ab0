"""decision: a row for each prompt, read by a causal language model at the places where an answer would begin.

The stock pipeline runs one prompt after the other; here the prompts of all requests share a forward pass. Each option
is scored by the logit of its label, such as ``A`` or ``Yes``.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch

from inference.backends.base import LoadFailed
from inference.backends.transformers import compat
from inference.backends.transformers.encoder import Encoder, attempt
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.rows import Padded, Row, TokenizedJob, check_length
from inference.backends.transformers.task import TransformersTask
from inference.conf import Conf
from inference.errors import InferenceError, Invalid
from inference.messaging.messages import Job

ROWS = 16
"""Rows of a forward pass. Each has logits of the whole vocabulary at the last places of all of them."""


class Decision(Encoder):
    """Raises ``LoadFailed`` for a model that cannot be asked."""

    def __init__(self, loaded: Loaded, conf: Conf) -> None:
        compat.check(compat.DECISIONS)
        super().__init__(loaded, conf)
        self._config = self._pipe.decision_config
        if not (self._tokenizer.chat_template or self._config.chat_template):
            raise LoadFailed(f"{loaded.name} has no chat template; decision needs a model that answers chats.")
        self._process = compat.lookup("transformers.decision.modeling_utils.process_scores")
        # A token sees only those before it, so what is padded on the right needs no mask, and any token will do.
        self.shares_calls, self._max_tokens = True, conf.max_batch_tokens
        on_the_right = copy.copy(self._tokenizer)
        on_the_right.padding_side = "right"
        self.layout = Padded(on_the_right, self._pipe.device)

    def prepare(self, jobs: Sequence[Job]) -> list[TokenizedJob | InferenceError]:
        return [attempt(job, self._prepare, job) for job in jobs]

    @torch.inference_mode()
    def forward(self, rows: Sequence[Row]) -> list[dict[str, torch.Tensor]]:
        """``logits``: of each row ``[questions, vocabulary]``."""
        if len(rows) > ROWS:
            return [*self.forward(rows[:ROWS]), *self.forward(rows[ROWS:])]
        places = [(row.extras["marks"] - 1).tolist() for row in rows]
        kept = sorted({place for own in places for place in own})
        arguments = self.layout.arguments(rows)
        keep = torch.tensor(kept, device=self._pipe.device)
        logits = self._model(**arguments, use_cache=False, logits_to_keep=keep).logits.cpu()
        return [{"logits": logits[n, [kept.index(place) for place in own]]} for n, own in enumerate(places)]

    def finish(self, item: TokenizedJob, rows: list[dict[str, Any]]) -> Any:
        answers: dict[str, Any] = {}
        for row in rows:
            questions = row["questions"]
            scores = [row["logits"][n, labels] for n, labels in enumerate(row["labels"])]
            scores = self._process(self._config, row["ids"], row["marks"], questions, scores)
            answers |= {q.name: q.answer(s.softmax(-1).tolist()) for q, s in zip(questions, scores, strict=True)}
        return answers

    def _prepare(self, job: Job) -> TokenizedJob:
        """Raises ``Invalid``."""
        label_ids = compat.lookup("transformers.decision.label_token_ids")
        try:
            prompts = self._config.prepare_inputs(job.input, self._tokenizer)
            rows = [
                Row(
                    {"input_ids": inputs["input_ids"][0].tolist()},
                    {
                        "ids": inputs["input_ids"],
                        "marks": inputs["marks"],
                        "questions": questions,
                        "labels": [label_ids(self._tokenizer, tuple(question.labels)) for question in questions],
                    },
                )
                for inputs, questions in prompts
            ]
        except ValueError as error:
            raise Invalid(str(error).partition("\n")[0]) from error
        for row in rows:
            check_length(row.length, self.description.longest_input, "The prompt of a question")
        return TokenizedJob(job, rows)


TASK = TransformersTask(auto_class="AutoModelForCausalLM", encoder=Decision)
