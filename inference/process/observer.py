"""What is served now, as seen through the channel layer by a process that serves nothing itself."""

import asyncio

import msgspec

from inference.catalog import Catalog, PipelineSpec
from inference.messaging.layer import ChannelLayer
from inference.scheduling.dispatcher import Dispatcher
from inference.scheduling.served_pipeline import ServedPipeline
from inference.serving.pipeline_state import PipelineState, state_of

LISTENS_S = 1.5
"""Time for hosts to answer the first hello, and to send what they were asked for then."""


async def observe(layer: ChannelLayer, catalog: Catalog) -> list[PipelineState]:
    """The state of each pipeline, in the order of the catalog; speeds are those for all web processes together.

    Raises:
        ConnectionError: the channel layer does not answer.
    """
    dispatcher = Dispatcher(layer, catalog.names, observes=True)
    dispatcher.start()
    try:
        await asyncio.sleep(LISTENS_S)
        if not dispatcher.layer_works:
            raise ConnectionError("the channel layer does not answer")
        return [_state(spec, dispatcher.pipelines[spec.name]) for spec in catalog]
    finally:
        await dispatcher.stop()


def _state(spec: PipelineSpec, served: ServedPipeline) -> PipelineState:
    speed = sum(worker.predicted_jobs_per_s * worker.host.webs for worker in served.serving())
    return msgspec.structs.replace(state_of(spec, served), jobs_per_second=round(speed, 2))
