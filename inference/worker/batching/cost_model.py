"""The cost of a batch, learned at warm-up and refined while running."""

from collections.abc import Iterable

from inference.messaging.messages import CostModel

MEMORY = 0.98
"""Weight of earlier batches when a new one is added: about fifty count."""
WARM_UP_WEIGHT = 0.1
"""Of each warm-up batch, permanently: live batches may be so alike that they do not determine the terms."""
OUTLIER = 4.0
"""Times its prediction to which a batch is cut off: beyond that, the machine was slow and not the model."""
SLOW_WEIGHT = 0.2
"""Of a batch that took longer than predicted: delays come and go, the least cost stays."""
ROUNDING_MS = 1e-9
TYPICAL_TOKENS = 32
"""Of a job, until some have run."""

Sums = list[list[float]]
"""Normal equations of least squares, 3 rows of 4: terms by (fixed, jobs, padded tokens | milliseconds)."""


class CostEstimate:
    """Least squares over (jobs, computed tokens, milliseconds), live batches forgotten exponentially.

    Args:
        warm_up: the first batches.
        full_batch: jobs in a batch when many wait.
    """

    def __init__(self, warm_up: Iterable[tuple[int, int, float]] = (), full_batch: int = 1) -> None:
        self._full_batch = full_batch
        self._warm_up, self._live = _nothing(), _nothing()
        for jobs, padded, milliseconds in warm_up:
            _add(self._warm_up, jobs, padded, milliseconds, WARM_UP_WEIGHT)
        self.model = self._fit()
        self.job_ms = self._in_full_batch(1, TYPICAL_TOKENS) * self.model.predict_ms(1, TYPICAL_TOKENS)
        """Recent model time of one job, as it would be in a full batch: what a queue of them takes. Jobs that came one
        by one took longer."""

    def learn(self, jobs: int, padded: int, compute_ms: float, wall_ms: float) -> None:
        """Add a batch: jobs, computed tokens, milliseconds by the cost model's clock and by the wall clock.

        Of a batch that was held up, both are cut off: a pause of the machine is not the model's speed.
        """
        expected = self.model.predict_ms(jobs, padded)
        counted = min(compute_ms, OUTLIER * expected) if expected else compute_ms
        self._live = [[MEMORY * term for term in row] for row in self._live]
        _add(self._live, jobs, padded, counted, SLOW_WEIGHT if expected and counted > expected else 1.0)
        self.model = self._fit()
        job_ms = self._in_full_batch(jobs, padded) * wall_ms / jobs
        if longest_ms := OUTLIER * max(self._in_full_batch(jobs, padded) * expected / jobs, self.job_ms):
            job_ms = min(job_ms, longest_ms)
        self.job_ms += (1 - MEMORY**jobs) * (job_ms - self.job_ms)

    def learn_job(self, model_ms: float) -> None:
        """Add a job that ran token by token, with its share of the model's time."""
        self.job_ms += (1 - MEMORY) * (model_ms - self.job_ms)

    def _in_full_batch(self, jobs: int, padded: int) -> float:
        """The part of such a batch's time that its jobs would take in a full batch, which share its fixed time."""
        predicted_ms = self.model.predict_ms(jobs, padded)
        shared = 1 - min(1.0, jobs / self._full_batch)
        return 1 - shared * self.model.fixed_ms / predicted_ms if predicted_ms else 1.0

    def _fit(self) -> CostModel:
        sums = [[w + v for w, v in zip(*rows, strict=True)] for rows in zip(self._warm_up, self._live, strict=True)]
        return CostModel(*_solve(sums))


def _nothing() -> Sums:
    return [[0.0] * 4 for _ in range(3)]


def _add(sums: Sums, jobs: int, padded: int, milliseconds: float, weight: float) -> None:
    seen = (1.0, float(jobs), float(padded), milliseconds)
    for row, factor in zip(sums, seen, strict=False):
        for column, value in enumerate(seen):
            row[column] += weight * factor * value


def _solve(sums: Sums) -> tuple[float, float, float]:
    """The terms; one that would be negative is left out, the least important first."""
    for terms in ((0, 1, 2), (0, 2), (1, 2), (2,), (0,)):
        found = _eliminate([[sums[i][j] for j in (*terms, 3)] for i in terms])
        if found is not None and min(found) >= -ROUNDING_MS:
            by_term = {term: max(0.0, value) for term, value in zip(terms, found, strict=True)}
            return by_term.get(0, 0.0), by_term.get(1, 0.0), by_term.get(2, 0.0)
    return 0.0, 0.0, 0.0


def _eliminate(rows: Sums) -> list[float] | None:
    """Gauss-Jordan elimination; ``None`` if the batches so far do not determine the terms."""
    for index, row in enumerate(rows):
        scale = max(map(abs, row[:-1]))
        if not scale or abs(row[index]) < 1e-9 * scale:
            return None
        pivot = row[index]
        row[:] = [value / pivot for value in row]
        for other in rows:
            if other is not row:
                factor = other[index]
                other[:] = [value - factor * mine for value, mine in zip(other, row, strict=True)]
    return [row[-1] for row in rows]
