"""Which way to run a loaded pipeline: the fastest one that gives the stock pipeline's results here."""

import logging
from collections.abc import Sequence

import torch

from inference.backends.base import BatchedPipeline
from inference.backends.transformers.encoder import Encoder
from inference.backends.transformers.linear_layers import prepare_linears
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.ragged import Ragged
from inference.backends.transformers.rows import Row
from inference.backends.transformers.stacked import Stacked
from inference.backends.transformers.task import Report
from inference.backends.transformers.unbatched import Unbatched
from inference.backends.transformers.warm_up import example, prepared, typical
from inference.conf import Conf
from inference.messaging.messages import Job

logger = logging.getLogger(__name__)


def select_pipeline(loaded: Loaded, conf: Conf, report: Report) -> BatchedPipeline:
    """A pipeline that is not made of rows is called as a whole; a fast path that fails its self-check is left out."""
    if loaded.spec.build is not None:
        return loaded.spec.build(loaded, conf, report)
    if loaded.spec.stacked is not None:
        return _stacked(loaded.spec.stacked(loaded, conf), loaded, report)
    if loaded.spec.encoder is None:
        return Unbatched(loaded)
    encoder = loaded.spec.encoder(loaded, conf)
    rows = _rows(encoder, [typical(encoder, varied=loaded.quantized)] * 8)
    prepare_linears(loaded, lambda: torch.cat([tensor.flatten() for tensor in encoder.compared(rows)]), report)
    encoder = encoder.faster(loaded, conf)
    if loaded.device == "cpu" and encoder.pads and _runs_without_padding(encoder, loaded):
        report("batches run without padding")
    return encoder


def _stacked(pipeline: Stacked, loaded: Loaded, report: Report) -> Stacked:
    job = typical(pipeline, varied=loaded.quantized, parameters=pipeline.warm_up_parameters)
    jobs = prepared(pipeline, [job] * 2)
    prepare_linears(loaded, lambda: pipeline.compared(jobs), report)
    return pipeline


def _runs_without_padding(encoder: Encoder, loaded: Loaded) -> bool:
    """Take ``encoder`` to the ragged layout if its outputs stay what they are."""
    longest = 8 if encoder.description.longest_input >= 512 else 0  # a tiny model may not take the long ones
    lengths = (0, 1 if longest else 0, longest)
    rows = _rows(encoder, [example(encoder.description, longer=longer) for longer in lengths])
    padded, wanted = encoder.layout, loaded.turn(lambda: encoder.compared(rows))
    ragged = Ragged(loaded.pipe.model, loaded.pipe.tokenizer, by_token=bool(encoder.token_outputs))
    try:
        ragged.enter()
        encoder.layout = ragged
        tolerance = 1e-4 if loaded.exact else 0.3
        pairs = zip(loaded.turn(lambda: encoder.compared(rows)), wanted, strict=True)
        if all(torch.allclose(mine, theirs, rtol=tolerance, atol=tolerance) for mine, theirs in pairs):
            return True
        reason = "its outputs would differ"
    except Exception as error:
        reason = repr(error)
    ragged.close()
    encoder.layout = padded
    logger.info("%s pads its batches: %s", encoder.description.model, reason)
    return False


def _rows(encoder: Encoder, jobs: list[Job]) -> Sequence[Row]:
    return [row for item in prepared(encoder, jobs) for row in item.rows]
