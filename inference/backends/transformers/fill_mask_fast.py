"""fill-mask, without what the stock pipeline wastes.

Its head scores every word of the vocabulary at every token, where only the masks' scores are needed; and it decodes
candidate by candidate. Here both are done for the masks alone, and for the batch at once.
"""

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from inference.backends.base import Outcome
from inference.backends.transformers.encoder import Encoder, to_json
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.rows import Row, TokenizedJob, check_length
from inference.conf import Conf
from inference.errors import Invalid
from inference.messaging.messages import Job

TOP_K = 5
"""The pipeline's default."""
MOST_TOKENS_OUT = 100_000
"""In the sequences of one input's answer. Each candidate of each mask has the whole text: 300 masks and a ``top_k`` of
1000 would be 90 million, which keep the model for a minute."""


def check_answer(tokens: Sequence[int], mask_id: int, parameters: dict[str, Any]) -> None:
    """Raises ``Invalid`` where the answer would be far larger than what was asked."""
    masks, each = tokens.count(mask_id), parameters.get("top_k", TOP_K)
    if targets := parameters.get("targets"):
        each = min(each, len(targets))
    if masks * each * len(tokens) > MOST_TOKENS_OUT:
        most = MOST_TOKENS_OUT // (masks * len(tokens))
        advice = f"a top_k of {most} is possible" if most else "send fewer masks"
        raise Invalid(f"{masks} masks in {len(tokens)} tokens with {each} answers each are too much; {advice}.")


def check_mask(job: Job, row: Row, tokenizer: Any) -> None:
    """Raises ``Invalid`` where there is no mask, or none is left."""
    if tokenizer.mask_token_id in row.inputs["input_ids"]:
        return
    if job.parameters.get("truncate") and tokenizer.mask_token in job.input:
        raise Invalid(f"No {tokenizer.mask_token} is in what truncate leaves of the input; send a shorter one.")
    raise Invalid(f"The input has no {tokenizer.mask_token}; put one where a word is to be filled in.")


@dataclass(frozen=True, slots=True)
class _Mask:
    """One mask of one input, and its best words."""

    position: int
    scores: list[float]
    ids: list[int]


class FillMask(Encoder):
    """The fast path. Its results are those of ``PlainFillMask``; a self-check at start compares them."""

    token_outputs = ("logits",)

    def __init__(self, loaded: Loaded, conf: Conf) -> None:
        super().__init__(loaded, conf)
        self._mask_id = self._tokenizer.mask_token_id
        self._vocabulary: dict[str, int] = self._tokenizer.get_vocab()
        self._words: dict[int, str] = {}
        self._call = threading.local()
        self._hook = self._model.base_model.register_forward_hook(self._keep_masks)

    def close(self) -> None:
        """Give the model its whole head back first."""
        self._hook.remove()
        super().close()

    def compared(self, rows: Sequence[Row]) -> list[torch.Tensor]:
        return [self._mask_logits(rows)]

    @torch.inference_mode()
    def _mask_logits(self, rows: Sequence[Row]) -> torch.Tensor:
        """Logits ``[masks of all rows, vocabulary]`` in float32, in order of rows and positions."""
        arguments = self.layout.arguments(rows)
        self._call.masks = arguments["input_ids"] == self._mask_id
        try:
            logits: torch.Tensor = self._model(**arguments).logits
        finally:
            del self._call.masks
        return logits[0].float().cpu()

    def _keep_masks(self, _module: Any, _inputs: Any, output: Any) -> Any:
        """Between base model and head: of ``[rows, tokens, hidden]`` keep ``[1, masks, hidden]``."""
        if (masks := getattr(self._call, "masks", None)) is not None:
            output.last_hidden_state = output.last_hidden_state[masks].unsqueeze(0)
        return output

    def checked(self, job: Job, rows: list[Row]) -> TokenizedJob:
        check_length(rows[0].length, self.description.longest_input)
        check_mask(job, rows[0], self._tokenizer)
        check_answer(rows[0].inputs["input_ids"], self._mask_id, job.parameters)
        targets = job.parameters.get("targets")
        post = {"top_k": job.parameters.get("top_k", TOP_K), "target_ids": self._target_ids(targets)}
        return TokenizedJob(job, rows, post)

    def _target_ids(self, targets: list[str] | None) -> list[int]:
        """As the pipeline's ``get_target_ids``, which builds the vocabulary anew for each call: 10 ms."""
        if targets is None:
            return []
        first = [
            [self._vocabulary[word]]
            if word in self._vocabulary
            else self._tokenizer(word, add_special_tokens=False)["input_ids"][:1]
            for word in targets
        ]
        ids = sorted({ids[0] for ids in first if ids})
        if not ids:
            raise Invalid(f"The model's vocabulary has none of the targets {', '.join(targets)[:200]}.")
        return ids

    def run_group(self, group: list[TokenizedJob]) -> list[Outcome]:
        masks = self._best(group, self._mask_logits([item.rows[0] for item in group]))
        sequences = iter(self._sequences(group, masks))
        outcomes: list[Outcome] = []
        for item in group:
            answers = [
                [
                    {"score": score, "token": token, "token_str": self._word(token), "sequence": next(sequences)}
                    for score, token in zip(mask.scores, mask.ids, strict=True)
                ]
                for mask in masks[id(item)]
            ]
            outcomes.append(to_json(answers[0] if len(answers) == 1 else answers))
        return outcomes

    def _best(self, group: list[TokenizedJob], logits: torch.Tensor) -> dict[int, list[_Mask]]:
        """The masks of each input with their best words, by ``id`` of the input."""
        found: dict[int, list[_Mask]] = {id(item): [] for item in group}
        alike: dict[tuple[int, tuple[int, ...]], list[tuple[TokenizedJob, int, int]]] = defaultdict(list)
        for index, (item, position) in enumerate(self._positions(group)):
            alike[item.postprocess["top_k"], tuple(item.postprocess["target_ids"])].append((item, position, index))
        scale = logits.logsumexp(-1, keepdim=True)
        for (top_k, target_ids), places in alike.items():
            indices = [index for *_, index in places]
            mine = logits[indices] if len(indices) < len(logits) else logits
            targets = torch.tensor(target_ids) if target_ids else None
            values, ids = (mine if targets is None else mine[:, targets]).topk(min(top_k, len(target_ids) or top_k))
            words = ids if targets is None else targets[ids]
            scores = (values - scale[indices]).exp()
            for (item, position, _), *best in zip(places, scores.tolist(), words.tolist(), strict=True):
                found[id(item)].append(_Mask(position, *best))
        return found

    def _positions(self, group: list[TokenizedJob]) -> Iterator[tuple[TokenizedJob, int]]:
        for item in group:
            for position, token in enumerate(item.rows[0].inputs["input_ids"]):
                if token == self._mask_id:
                    yield item, position

    def _sequences(self, group: list[TokenizedJob], masks: dict[int, list[_Mask]]) -> list[str]:
        """Each input with each candidate in the mask's place, in order."""
        pad = self._tokenizer.pad_token_id
        filled: list[list[int]] = []
        several: list[bool] = []
        for item in group:
            tokens = list(item.rows[0].inputs["input_ids"])
            for mask in masks[id(item)]:
                for candidate in mask.ids:
                    before, after = tokens[: mask.position], tokens[mask.position + 1 :]
                    filled.append([token for token in (*before, candidate, *after) if token != pad])
                    several.append(len(masks[id(item)]) > 1)
        # With several masks the pipeline keeps special tokens, or the other masks would vanish.
        plain = iter(self._decode([ids for ids, many in zip(filled, several, strict=True) if not many], keep=False))
        special = iter(self._decode([ids for ids, many in zip(filled, several, strict=True) if many], keep=True))
        return [next(special if many else plain) for many in several]

    def _decode(self, sequences: list[list[int]], *, keep: bool) -> list[str]:
        tokenizer = self._pipe.tokenizer  # this is the model's thread; self._tokenizer belongs to the other one
        if tokenizer.is_fast and not tokenizer.clean_up_tokenization_spaces:
            texts: list[str] = tokenizer.backend_tokenizer.decode_batch(sequences, skip_special_tokens=not keep)
            return texts
        return [tokenizer.decode(ids, skip_special_tokens=not keep) for ids in sequences]

    def _word(self, token: int) -> str:
        word = self._words.get(token)
        if word is None:
            word = self._words[token] = self._pipe.tokenizer.decode([token])
        return word
