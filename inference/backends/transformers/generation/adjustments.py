"""What a request adds to the scores of single tokens, or takes from them, before the temperature counts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from transformers import LogitsProcessor

PARAMETERS = frozenset({"frequency_penalty", "presence_penalty", "logit_bias"})
"""Those that ``generate`` does not have."""
NEVER = float("-inf")


@dataclass(frozen=True, kw_only=True)
class Adjustments:
    """Penalties are OpenAI's (https://platform.openai.com/docs/api-reference/chat/create): they count what has been
    generated, not what is in the prompt.
    """

    frequency_penalty: float = 0.0
    """Taken from a token's score for each time that it has come."""
    presence_penalty: float = 0.0
    """The same once, if it has come at all."""
    bias: Mapping[int, float] = field(default_factory=dict)
    min_new_tokens: int = 0
    """Until the text has so many, ``end_tokens`` do not come."""
    end_tokens: frozenset[int] = frozenset()

    @classmethod
    def of(cls, parameters: Mapping[str, Any], end_tokens: frozenset[int] = frozenset()) -> "Adjustments | None":
        """``None`` where a request leaves scores as they are."""
        made = cls(
            frequency_penalty=parameters.get("frequency_penalty", 0.0),
            presence_penalty=parameters.get("presence_penalty", 0.0),
            bias={int(token): float(bias) for token, bias in parameters.get("logit_bias", {}).items()},
            min_new_tokens=parameters.get("min_new_tokens", 0),
        )
        return None if made == NOTHING else replace(made, end_tokens=end_tokens)

    def shifts(self, generated: Sequence[int]) -> dict[int, float]:
        """What is added to the scores of which tokens, after these."""
        shifts = dict(self.bias)
        if self.frequency_penalty or self.presence_penalty:
            for token, times in Counter(generated).items():
                penalty = self.frequency_penalty * times + self.presence_penalty
                shifts[token] = shifts.get(token, 0.0) - penalty
        if len(generated) < self.min_new_tokens:
            shifts |= dict.fromkeys(self.end_tokens, NEVER)
        return shifts


NOTHING = Adjustments()


def adjust(scores: torch.Tensor, by_row: Mapping[int, Mapping[int, float]]) -> None:
    """Add the shifts of each row to ``scores[row, vocabulary]``."""
    rows = [row for row, shifts in by_row.items() for _ in shifts]
    tokens = [token for shifts in by_row.values() for token in shifts]
    added = [shift for shifts in by_row.values() for shift in shifts.values()]
    if rows:
        scores[rows, tokens] += torch.tensor(added, dtype=scores.dtype, device=scores.device)


class Adjusting(LogitsProcessor):  # type: ignore[misc]
    """The same within ``generate``."""

    def __init__(self, adjustments: Adjustments, prompt_tokens: int) -> None:
        self._adjustments = adjustments
        self._prompt_tokens = prompt_tokens

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        adjusted = scores.clone()
        generated = input_ids[:, self._prompt_tokens :].tolist()
        adjust(adjusted, {row: self._adjustments.shifts(ids) for row, ids in enumerate(generated)})
        return adjusted
