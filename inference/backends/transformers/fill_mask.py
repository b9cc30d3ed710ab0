"""fill-mask: the fast path where it passes its self-check, otherwise the pipeline's own post-processing."""

import logging
from collections.abc import Sequence
from itertools import chain
from typing import Any, cast

import msgspec
import torch

from inference.backends.base import Outcome
from inference.backends.transformers.encoder import Encoder
from inference.backends.transformers.fill_mask_fast import FillMask, check_answer, check_mask
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.rows import Row, TokenizedJob
from inference.backends.transformers.task import TransformersTask
from inference.backends.transformers.warm_up import example, prepared
from inference.conf import Conf
from inference.errors import InferenceError
from inference.messaging.messages import Job

logger = logging.getLogger(__name__)

Answers = list[dict[str, Any]]


class PlainFillMask(Encoder):
    """All logits, and the pipeline's own post-processing."""

    token_outputs = ("logits",)
    reentrant = False

    def checked(self, job: Job, rows: list[Row]) -> TokenizedJob:
        [row] = rows
        check_mask(job, row, self._tokenizer)
        check_answer(row.inputs["input_ids"], self._tokenizer.mask_token_id, job.parameters)
        return super().checked(job, [Row(row.inputs, {"input_ids": torch.tensor([row.inputs["input_ids"]])})])

    def finish(self, item: TokenizedJob, rows: list[dict[str, Any]]) -> Any:
        return super().finish(item, [rows[0] | {"logits": rows[0]["logits"].float()}])

    def faster(self, loaded: Loaded, conf: Conf) -> Encoder:
        wanted = loaded.turn(lambda: _answers(self))
        fast = FillMask(loaded, conf)
        try:
            tolerance = 1e-4 if loaded.exact else 0.05
            if all(
                _alike(mine, theirs, tolerance)
                for mine, theirs in zip(loaded.turn(lambda: _answers(fast)), wanted, strict=True)
            ):
                return fast
            reason = "its answers differ from the stock pipeline's"
        except Exception as error:
            reason = repr(error)
        fast.close()
        logger.warning("fill-mask runs without its fast path: %s", reason)
        return self


def _answers(encoder: Encoder) -> list[Answers]:
    """What the masks of a mixed batch are filled with; those of several masks one after the other."""
    one, longer = example(encoder.description), example(encoder.description, longer=1)
    two = msgspec.structs.replace(one, input=f"{one.input} {one.input}")
    outputs = _decoded(encoder.run(prepared(encoder, [one, two, longer])))
    return [list(chain(*output)) if isinstance(output[0], list) else output for output in outputs]


def _decoded(outcomes: Sequence[Outcome]) -> list[Any]:
    """Raises an outcome that is an error."""
    outputs = []
    for outcome in outcomes:
        if isinstance(outcome, InferenceError):
            raise outcome
        outputs.append(msgspec.json.decode(cast("bytes", outcome)))
    return outputs


def _alike(mine: Answers, theirs: Answers, tolerance: float) -> bool:
    """Scores agree in order; where both name a word, so do its text and the sequence. Near ties may swap."""
    words = {answer["token"]: answer for answer in theirs}
    same = [(answer, words[answer["token"]]) for answer in mine if answer["token"] in words]
    return (
        len(mine) == len(theirs)
        and 2 * len(same) > len(mine)
        and all(abs(a["score"] - b["score"]) <= tolerance for a, b in zip(mine, theirs, strict=True))
        and all(a["token_str"] == b["token_str"] for a, b in same)
    )


TASK = TransformersTask(auto_class="AutoModelForMaskedLM", architectures=("ForMaskedLM",), encoder=PlainFillMask)
