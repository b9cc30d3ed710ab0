"""Loads one pipeline at a host, beside those that are served, and frees what one held."""

import asyncio
import logging
from functools import partial

from inference.backends.base import BatchedPipeline, Load, SteppedPipeline
from inference.worker.executors import ThreadExecutor
from inference.worker.model_turn import ModelTurn
from inference.worker.pipeline_worker import PipelineWorker
from inference.worker.turns import Share, Turns

logger = logging.getLogger(__name__)

Loaded = tuple[BatchedPipeline | SteppedPipeline, Share]


class Loading:
    """Args: ``load`` makes a pipeline; it is called on a thread of its own."""

    def __init__(self, host_id: str, load: Load, turns: Turns) -> None:
        self._host_id = host_id
        self._load_pipeline = load
        self._turns = turns
        self._executors = turns.executors

    async def load(self, worker: PipelineWorker) -> Loaded:
        """Raises whatever loading raises."""
        share = self._turns.join(worker.spec.weight)
        loader = ThreadExecutor(f"loader-{self._host_id}")  # it ends after loading, and with it its libraries' threads
        turn = ModelTurn(share)
        try:
            pipeline = await loader.run(partial(self._load_pipeline, worker.spec.conf, worker.report, turn))
            worker.pipeline = pipeline  # from now on it is closed with the others
            await self._set_threads(pipeline)
        except BaseException:
            turn.end()
            self._turns.leave(share)
            raise
        finally:
            loader.close()
        return pipeline, share

    async def _set_threads(self, pipeline: BatchedPipeline | SteppedPipeline) -> None:
        """Let the executors use the cores that the pipeline was loaded for; add those that run side by side."""
        executors, threads = self._executors, pipeline.description.threads
        side_by_side = 1 if isinstance(pipeline, SteppedPipeline) else pipeline.concurrent_batches
        if side_by_side > 1 and not executors.narrow:
            names = (f"model-{self._host_id}-{number}" for number in range(side_by_side))
            executors.narrow = tuple(ThreadExecutor(name, executors.wide.watchdog) for name in names)
        part = max(1, threads // executors.side_by_side)
        # Unwatched: calls of other pipelines may go first.
        await executors.wide.run(partial(pipeline.use_threads, threads), watched=False)
        for executor in executors.narrow:
            await executor.run(partial(pipeline.use_threads, part), watched=False)

    async def close(self, worker: PipelineWorker) -> None:
        """Free the memory of a worker for which nothing is held.

        A call may be under way all the same, for a request that was cancelled or a web process that is gone.
        """
        if worker.task is not None:
            worker.task.cancel()
            await asyncio.wait([worker.task])
        if (share := worker.end()) is not None:
            self._turns.leave(share)
        executors = self._executors
        for executor in (executors.tokenizer, executors.wide, *executors.narrow):
            await executor.run(lambda: None, watched=False)  # after its calls
        closer = ThreadExecutor(f"unloader-{self._host_id}")  # large models take seconds, for which no call must wait
        try:
            await closer.run(worker.close_pipeline)
        except Exception:
            logger.exception("Pipeline %s: worker %s could not be closed", worker.name, worker.id)
        finally:
            closer.close()
