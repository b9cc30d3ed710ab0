"""Whether an encoder-decoder model can be run token by token here: its texts must be those of ``generate``."""

import logging
from collections.abc import Callable
from functools import partial

import torch

from inference.backends.transformers import compat
from inference.backends.transformers.description import describe
from inference.backends.transformers.generation.vocabulary import Vocabulary
from inference.backends.transformers.linear_layers import prepare_linears
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.seq2seq.configuration import check_implemented
from inference.backends.transformers.seq2seq.decoder import Decoder, token_encoder
from inference.backends.transformers.seq2seq.generator import Seq2SeqGenerator
from inference.backends.transformers.seq2seq.preparation import TextToText
from inference.backends.transformers.seq2seq.settings import GenerationSettings, longest_text
from inference.backends.transformers.seq2seq.text import EncodedText
from inference.backends.transformers.warm_up import example, prepared, takes
from inference.conf import Conf
from inference.messaging.messages import Job

logger = logging.getLogger(__name__)

TOKENS = 6
"""Generated for each example of the check."""
CHECKED = ({"num_beams": 1}, {"num_beams": 3}, {"num_beams": 1}, {"num_beams": 3})
"""Parameters of the examples; each joins one step after the one before."""
TYPICAL = 8
"""Texts in the step that packed layers are measured with."""


def continuous(loaded: Loaded, conf: Conf, report: Callable[[str], None]) -> Seq2SeqGenerator | None:
    """The model with continuous batching; ``None`` if its answers would differ."""
    decoder: Decoder | None = None
    model = loaded.pipe.model
    try:
        compat.check(compat.CONTINUOUS_BATCHING)
        compat.check(compat.SEQ2SEQ)
        # Before anything is exchanged: how long a text may be depends on the stock decoder.
        settings = GenerationSettings(model, loaded.pipe.tokenizer, longest_text(model), conf.max_batch_tokens)
        description = describe(loaded, streams=True, beams=settings.beams(loaded.task.name))
        check_implemented(settings.base)
        requests = TextToText(loaded, description, settings)
        padding = model.config.pad_token_id or 0
        longest = min(longest_text(model), conf.max_batch_tokens)
        decoder = Decoder(model, token_encoder(model, padding), longest, token=padding + 1)
        decoder.enter()
        tokenizer = loaded.pipe.tokenizer
        special = tokenizer.all_special_ids
        generator = Seq2SeqGenerator(description, decoder, requests, special, conf, Vocabulary(tokenizer))
        _check(generator, loaded, decoder)
    except Exception as error:
        if decoder:
            decoder.leave()
        reason = str(error).strip().partition("\n")[0] or repr(error)
        logger.warning("%s generates one text after the other, and does not stream: %s", loaded.name, reason)
        return None
    texts = generator.fitting(_texts(generator, [_example(generator, 0, {"num_beams": 1})] * TYPICAL))
    prepare_linears(loaded, lambda: generator.logits(texts), report, first=lambda: generator.step(texts))
    generator.retain(())
    return generator


def _check(generator: Seq2SeqGenerator, loaded: Loaded, decoder: Decoder) -> None:
    """Generate short texts that join one another, then compare with what the stock model makes of each.

    Raises:
        ValueError: they differ.
    """
    longer = [n if takes(generator, _example(generator, n, {})) else 0 for n in range(len(CHECKED))]
    jobs = [_example(generator, n, parameters) for n, parameters in zip(longer, CHECKED, strict=True)]
    texts = [text for job in jobs for text in _texts(generator, [job])]
    running: list[EncodedText] = []
    newcomers = list(texts)
    while newcomers or running:
        running += newcomers[:1]
        del newcomers[:1]
        generator.retain(running)
        for text, outcome in zip(list(running), loaded.turn(partial(generator.step, running)), strict=True):
            if isinstance(outcome, Exception):
                raise outcome
            if outcome is not None and outcome.finish_reason:
                running.remove(text)
    generator.retain(())
    tolerance = 1e-3 if loaded.dtype == "float32" else 0.3
    decoder.leave()
    try:
        differ = [loaded.turn(partial(_differs, loaded.pipe.model, text, tolerance)) for text in texts]
    finally:
        decoder.enter()
    if any(differ):
        raise ValueError("its texts would differ from those of the stock model")


def _texts(generator: Seq2SeqGenerator, jobs: list[Job]) -> list[EncodedText]:
    return list(prepared(generator, jobs))


def _example(generator: Seq2SeqGenerator, longer: int, parameters: dict[str, int]) -> Job:
    given = {"do_sample": False, "max_new_tokens": TOKENS, **parameters}
    return example(generator.description, longer=longer, parameters=given)


@torch.inference_mode()
def _differs(model: torch.nn.Module, text: EncodedText, tolerance: float) -> bool:
    """Whether ``generate`` makes another text, which the model finds likelier by more than ``tolerance``."""
    ids = torch.tensor([text.source], device=next(model.parameters()).device)
    mask = torch.ones_like(ids)
    [wanted] = model.generate(input_ids=ids, attention_mask=mask, generation_config=text.config)  # type: ignore[operator]
    if wanted.tolist() == text.ids:
        return False

    def likelihood(tokens: list[int]) -> float:
        given = torch.tensor([tokens], device=ids.device)
        logprobs = model(input_ids=ids, attention_mask=mask, decoder_input_ids=given).logits[0, :-1].float()
        return float(logprobs.log_softmax(-1).gather(-1, given[0, 1:, None]).sum())

    return likelihood(wanted.tolist()) - likelihood(text.ids) > tolerance
