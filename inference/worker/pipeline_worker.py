"""One worker: a pipeline of the catalog at its host, from loading to its last job."""

import asyncio
import logging
import math
import secrets
from collections.abc import Callable
from pathlib import Path

from inference.backends.base import BatchedPipeline, LoadFailed, SteppedPipeline
from inference.catalog import PipelineSpec
from inference.messaging.messages import Description, State, Totals, WorkerStatus
from inference.worker.batching.batcher import Batcher
from inference.worker.batching.continuous_batcher import ContinuousBatcher
from inference.worker.batching.policy import BatchLimits
from inference.worker.item import JobReplies
from inference.worker.job_runner import JobRunner
from inference.worker.turns import Share

logger = logging.getLogger(__name__)

CREDIT_BATCHES = 4
"""Full batches that a worker wants to hold: the more it can choose from, the less it pads."""

CREDIT_BYTES = 2**26
"""Size of the inputs that a worker wants to hold, which are images or recordings where it is ever reached."""


class PipelineWorker:
    """State of one pipeline at its host. It has a runner from the moment it is ready until it is unloaded."""

    def __init__(self, spec: PipelineSpec) -> None:
        self.id = secrets.token_hex(6)
        self.spec = spec
        self.state: State = "starting"
        self.reason = ""
        """How far loading has come, or why it failed; of a ready one, why it was not reloaded."""
        self.generation = 0
        """Of the newest order that it has followed."""
        self.began_at = math.inf
        """When it began to load."""
        self.wanted: Callable[[], bool] = lambda: True
        """Whether to go on loading; may be called from any thread."""
        self.runner: JobRunner | None = None
        self.description: Description | None = None
        self.held = 0
        """Jobs received, and their closing entry not yet taken by the layer."""
        self.pipeline: BatchedPipeline | SteppedPipeline | None = None
        self.task: asyncio.Task[None] | None = None
        """Of its runner."""
        self._share: Share | None = None
        self._totals = Totals()

    @property
    def name(self) -> str:
        return self.spec.name

    def open(self, pipeline: BatchedPipeline | SteppedPipeline, share: Share, replies: JobReplies) -> JobRunner:
        """Take jobs: the pipeline is loaded and warm. Returns what has to run from now on."""
        self.pipeline, self._share, self.description = pipeline, share, pipeline.description
        conf = self.spec.conf
        if isinstance(pipeline, SteppedPipeline):
            limits = BatchLimits(max_batch_size=conf.max_batch_size, max_batch_tokens=conf.max_batch_tokens)
            self.runner = ContinuousBatcher(pipeline, share, limits, replies)
        else:
            limits = BatchLimits(
                max_batch_size=conf.max_batch_size if pipeline.shares_calls else 1,
                max_batch_tokens=conf.max_batch_tokens,
                batch_window_s=conf.batch_window_ms / 1000,
                pads=pipeline.pads,
            )
            self.runner = Batcher(pipeline, share, limits, replies)
        self.state, self.reason = "ready", ""
        return self.runner

    def report(self, progress: str) -> None:
        """How far loading has come; may be called from any thread. Raises ``LoadFailed`` if it need not go on."""
        if not self.wanted():
            raise LoadFailed("An operator has unloaded it meanwhile.")
        self.reason = self._for_clients(progress)
        logger.info("Worker %s, pipeline %s: %s", self.id, self.name, progress)

    def fail(self, reason: str) -> None:
        self.state, self.reason = "failed", self._for_clients(reason)

    def keep(self, generation: int, reason: str) -> None:
        """It is not replaced as was ordered."""
        self.generation, self.reason = generation, self._for_clients(reason)

    def end(self) -> Share | None:
        """Nothing runs any more; returns its share of the host, which is to be given up."""
        if self.runner is not None:
            self._totals = self.runner.totals
        share, self._share, self.runner, self.task = self._share, None, None, None
        return share

    def _for_clients(self, sentence: str) -> str:
        """Of a folder it has the name alone, as of one that is served."""
        model = Path(self.spec.conf.model)
        return sentence.replace(str(model), model.name) if model.is_absolute() else sentence

    def close_pipeline(self) -> None:
        pipeline, self.pipeline = self.pipeline, None
        if pipeline is not None:
            pipeline.close()

    def full(self) -> bool:
        """It holds twice what it has given credit for."""
        return self.held >= 2 * self._most()

    def status(self, webs: int) -> WorkerStatus:
        """For one of so many web processes."""
        runner, share = self.runner, self._share.measure() if self._share else 1.0
        return WorkerStatus(
            worker=self.id,
            pipeline=self.name,
            version=self.description.version if self.description else "",
            state=self.state,
            reason=self.reason,
            credit=self._credit(max(1, webs), share) if self.state == "ready" else 0,
            credit_bytes=CREDIT_BYTES // max(1, webs),
            queue_depth=runner.depth if runner else 0,
            share=round(share, 3),
            weight=self.spec.weight,
            job_ms=runner.cost.job_ms if runner else 0.0,
            cost=runner.cost.model if runner else None,
            totals=runner.totals if runner else self._totals,
            facts_n=1 if self.description else 0,
            prefix_bytes=runner.prefix_bytes if runner else 0,
            reading_ms=runner.reading_ms if runner else 0.0,
            running=runner.running if runner else 0,
            generation=self.generation,
        )

    def _credit(self, webs: int, share: float) -> int:
        """What the runner wants to hold, bounded by a few full batches, at the speed that it has here (rule 16)."""
        wanted = self.runner.credit if self.runner else 0
        return max(1, int(min(self._most(), wanted if share == 1.0 else max(2, wanted * share))) // webs)

    def _most(self) -> int:
        return CREDIT_BATCHES * self.spec.conf.max_batch_size
