"""What a batch costs: a fixed time and a time per padded token, learned at warm-up and refined while running."""

from collections.abc import Iterable, Sequence

from inference.batch_policy import Candidate, padded_tokens
from inference.messages import CostModel

MEMORY = 0.98
"""Weight of what is known when a new batch comes in: about fifty batches count."""
OUTLIER = 4.0
"""A batch that took longer than so many times its prediction says something about the machine, not the model."""
SLOW_WEIGHT = 0.2
"""Of a batch that took longer than predicted: what holds a batch up comes and goes, what it must cost stays."""
TYPICAL_TOKENS = 32
"""Of a job, until there were some."""


class CostEstimate:
    """Least squares over (padded tokens, milliseconds), older batches forgotten exponentially."""

    def __init__(self, warm_up: Iterable[tuple[int, float]] = ()) -> None:
        self._weight = self._x = self._xx = self._y = self._xy = 0.0
        self.model = CostModel(fixed_ms=0.0, per_token_ms=0.0)
        for padded, milliseconds in warm_up:
            self._add(padded, milliseconds)
        self._fit()
        self.job_ms = self.model.predict_ms(TYPICAL_TOKENS)
        """Of the model's time that one job takes, lately."""

    def learn(self, batch: Sequence[Candidate], milliseconds: float) -> None:
        """Take a batch that ran."""
        padded = padded_tokens(batch)
        expected = self.model.predict_ms(padded)
        taken = min(milliseconds, OUTLIER * expected) if expected else milliseconds
        for name in ("_weight", "_x", "_xx", "_y", "_xy"):
            setattr(self, name, getattr(self, name) * MEMORY)
        self._add(padded, taken, SLOW_WEIGHT if expected and taken > expected else 1.0)
        self._fit()
        self.job_ms += (1 - MEMORY ** len(batch)) * (taken / len(batch) - self.job_ms)

    def _add(self, padded: int, milliseconds: float, weight: float = 1.0) -> None:
        self._weight += weight
        self._x += weight * padded
        self._xx += weight * padded * padded
        self._y += weight * milliseconds
        self._xy += weight * padded * milliseconds

    def _fit(self) -> None:
        if not self._x:
            return
        spread = self._weight * self._xx - self._x * self._x
        if spread > 1e-6 * self._xx:
            slope = max(0.0, (self._weight * self._xy - self._x * self._y) / spread)
        else:  # batches of one size so far
            slope = self._y / self._x
        fixed = (self._y - slope * self._x) / self._weight
        if fixed < 0:  # larger batches were dearer than in proportion
            fixed, slope = 0.0, self._y / self._x
        self.model = CostModel(fixed_ms=fixed, per_token_ms=slope)
