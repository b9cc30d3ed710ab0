"""Whether a model can be run token by token here: its answers must be those of the stock model."""

import logging
from collections.abc import Sequence
from functools import partial

import torch

from inference.backends.base import generated
from inference.backends.transformers import compat
from inference.backends.transformers.generation.generator import Generator
from inference.backends.transformers.generation.step_threads import SIZES
from inference.backends.transformers.generation.text import Text
from inference.backends.transformers.linear_layers import prepare_linears
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.packed_in_place import pack_in_place
from inference.backends.transformers.task import Report
from inference.backends.transformers.warm_up import example, prepared, takes, typical
from inference.conf import Conf
from inference.messaging.messages import Job

logger = logging.getLogger(__name__)

TOKENS = 4
"""Generated for each example of the check."""
PARAMETERS = {"do_sample": False, "max_new_tokens": TOKENS, "repetition_penalty": 1.0}
TYPICAL = 8
"""Texts in the step that packed layers are measured with."""


def continuous(loaded: Loaded, conf: Conf, report: Report) -> Generator | None:
    """The model with continuous batching; ``None`` if its answers would differ."""
    model, stock = loaded.pipe.model, ""
    try:
        compat.check(compat.CONTINUOUS_BATCHING)
        stock = model.config._attn_implementation
        generator = Generator(loaded, conf)
        if not _fused(generator, loaded, stock):
            _check(generator, loaded, stock)
    except Exception as error:
        if stock:
            model.set_attn_implementation(stock)
        reason = str(error).strip().partition("\n")[0] or repr(error)
        logger.warning("%s generates one text after the other, and does not stream: %s", loaded.name, reason)
        return None
    job = typical(generator, varied=loaded.quantized, parameters=PARAMETERS)
    texts = generator.fitting(list(prepared(generator, [job] * max(SIZES))))
    _prepare_linears(generator, texts[:TYPICAL], loaded, report)
    if loaded.device == "cpu":
        _compile(generator, texts[:TYPICAL], loaded, report)
        while not all(text.decoding for text in texts):
            loaded.turn(lambda: generator.step(texts))
        generator.threads.measure(lambda size: generator.logits(texts[:size]), len(texts), loaded.turn)
        if generator.threads.alone:
            report(f"steps with up to {generator.threads.alone} tokens run on one thread, which is faster")
    generator.retain(())
    cache = generator.cache
    cache.forget()
    report(f"key-value cache of at most {cache.most} tokens, {cache.most_bytes / 1e6:.0f} MB")
    if (prefixes := cache.prefixes).keeps:
        report(f"prefix cache of at most {prefixes.most_tokens} tokens, {prefixes.most_bytes / 1e6:.0f} MB")
    return generator


def _fused(generator: Generator, loaded: Loaded, stock: str) -> bool:
    """Whether its layers run as few large operators from now on; otherwise they run as transformers has them."""
    try:
        generator.fuse()
        _check(generator, loaded, stock)
    except Exception as error:
        generator.retain(())
        generator.cache.forget()
        generator.fused = None
        reason = str(error).strip().partition("\n")[0] or repr(error)
        logger.info("%s runs operator by operator: %s", loaded.name, reason)
        return False
    generator.drop_stock_layers()
    return True


def _prepare_linears(generator: Generator, texts: Sequence[Text], loaded: Loaded, report: Report) -> None:
    def example() -> torch.Tensor:
        return generator.logits(texts)

    def first() -> object:
        return generator.step(texts)

    fused = generator.fused
    if fused is None or loaded.quantized:
        prepare_linears(loaded, example, report, first)
        return
    loaded.turn(first)
    if loaded.device == "cpu" and (packed := pack_in_place(fused, fused.stack.layers[0], example, loaded.turn)):
        report(packed)


def _compile(generator: Generator, texts: Sequence[Text], loaded: Loaded, report: Report) -> None:
    """Let the fused layers run in TorchScript's interpreter, if they compute the same there."""
    if (fused := generator.fused) is None:
        return
    interpreted = loaded.turn(lambda: generator.logits(texts))
    try:
        fused.compile_steps()
        if not torch.allclose(loaded.turn(lambda: generator.logits(texts)), interpreted, rtol=1e-3, atol=1e-3):
            raise RuntimeError("its scores differ")
    except Exception as error:
        fused.interpret_steps()
        reason = str(error).strip().partition("\n")[0] or repr(error)
        logger.info("The steps of %s are not compiled: %s", loaded.name, reason)
        return
    report("steps are compiled by TorchScript")


def _check(generator: Generator, loaded: Loaded, stock: str) -> None:
    """Generate short texts that join one another, then compare with what the stock model makes of each.

    Raises:
        ValueError: they differ.
    """
    # The second and the third join while others run; the last one's prompt is read in parts.
    texts = _texts(generator, [longer if takes(generator, _example(generator, longer)) else 0 for longer in (0, 1, 2)])
    got: dict[Text, list[float]] = {text: [] for text in texts}
    running: list[Text] = []
    newcomers = list(texts)
    while newcomers or running:
        joined = len(running)
        running = list(generator.fitting([*running, *newcomers[:1]]))
        del newcomers[: len(running) - joined]
        generator.retain(running)
        for text, outcome in zip(list(running), loaded.turn(partial(generator.step, running)), strict=True):
            if isinstance(outcome, Exception):
                raise outcome
            for made in generated(outcome):
                got[text].append(made.logprob)
                if made.finish_reason:
                    running.remove(text)
    generator.retain(())
    tolerance = 1e-3 if loaded.dtype == "float32" else 0.3
    model, ours = loaded.pipe.model, loaded.pipe.model.config._attn_implementation
    model.set_attn_implementation(stock)
    try:
        wanted = [loaded.turn(partial(_logprobs, model, text)) for text in texts]
    finally:
        model.set_attn_implementation(ours)
    for text, logprobs in zip(texts, wanted, strict=True):
        if not torch.allclose(torch.tensor(got[text]), logprobs, rtol=0, atol=tolerance):
            raise ValueError("its texts would differ from those of the stock model")


def _texts(generator: Generator, lengths: Sequence[int]) -> list[Text]:
    return list(prepared(generator, [_example(generator, longer) for longer in lengths]))


def _example(generator: Generator, longer: int) -> Job:
    return example(generator.description, longer=longer, parameters=PARAMETERS)


@torch.inference_mode()
def _logprobs(model: torch.nn.Module, text: Text) -> torch.Tensor:
    """Of the tokens that were generated."""
    ids = torch.tensor([text.ids], device=next(model.parameters()).device)
    logprobs: torch.Tensor = model(input_ids=ids).logits[0, text.prompt_tokens - 1 : -1].float().log_softmax(-1)
    return logprobs.gather(-1, ids[0, text.prompt_tokens :, None])[:, 0].cpu()
