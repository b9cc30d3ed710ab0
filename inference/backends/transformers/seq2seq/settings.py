"""What requests ask for, on top of what a checkpoint's configuration says."""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from inference.backends.transformers.description import NO_LIMIT
from inference.backends.transformers.generation.detokenizer import Detokenizer
from inference.backends.transformers.generation.sampling import Sampling
from inference.backends.transformers.generation.text import StopConditions
from inference.backends.transformers.seq2seq.beams import Beams, BeamSettings
from inference.backends.transformers.seq2seq.configuration import (
    base_configuration,
    is_processed,
    specific_settings,
)
from inference.backends.transformers.seq2seq.text import EncodedText
from inference.errors import Invalid
from inference.messaging.messages import Job

OURS = frozenset({"seed", "stop", "src_lang", "tgt_lang", "truncate", "truncation", "clean_up_tokenization_spaces"})
"""Parameters that ``generate`` does not have."""
SAMPLERS = frozenset({"temperature", "top_k", "top_p"})
"""Parameters that have no effect, and cause a warning by transformers, where nothing is drawn."""


def longest_text(model: Any) -> int:
    """Tokens that the decoder takes; T5 has no limit."""
    config = model.config
    if getattr(model.get_decoder(), "embed_positions", None) is None:
        return NO_LIMIT
    limits = [getattr(config, name, None) for name in ("max_target_positions", "max_position_embeddings")]
    return min((limit for limit in limits if limit), default=NO_LIMIT)


class GenerationSettings:
    """What requests ask for, on top of what the checkpoint's configuration says.

    Args:
        longest: tokens that the decoder takes.
        most: tokens, of the source and of all beams, that one text may have in the cache.
    """

    def __init__(self, model: Any, tokenizer: Any, longest: int, most: int) -> None:
        self.base = base_configuration(model, tokenizer)
        self._model, self._longest, self._most = model, longest, most

    def beams(self, task: str) -> int:
        """Where a request says nothing of them."""
        return int(specific_settings(self._model.config, task).get("num_beams") or self.base.num_beams)

    def configuration(self, job: Job, specific: Mapping[str, Any]) -> Any:
        """The generation configuration of a job, without transformers' defaults. Raises ``Invalid``."""
        config = copy.deepcopy(self.base)
        config.update(**specific)
        given = {name: value for name, value in job.parameters.items() if name not in OURS}
        if "max_length" in given and "max_new_tokens" not in given:
            given["max_new_tokens"] = None
        if given.get("do_sample"):
            if given.setdefault("num_beams", 1) > 1:
                raise Invalid("With do_sample no beams are searched; leave num_beams out, or do_sample.")
        elif not (config.do_sample and given.get("do_sample") is None):
            given = {name: value for name, value in given.items() if name not in SAMPLERS}
        config.update(**given)
        if job.tokens and config.num_beams > 1:
            raise Invalid(
                f"This text would be searched with {config.num_beams} beams, which give no tokens before its end; "
                f"send num_beams 1 to have them."
            )
        return config

    def new_tokens(self, config: Any, prompt_tokens: int, source_tokens: int, job: Job) -> int:
        """How many tokens a text may get. Raises ``Invalid`` if more are wanted than there is room for."""
        wanted = config.max_new_tokens or max(1, config.max_length - prompt_tokens)
        room = min(self._longest, (self._most - source_tokens) // config.num_beams) - prompt_tokens
        asked = job.parameters.get("max_new_tokens") or job.parameters.get("max_length")
        if room < (wanted if asked else 1):
            beams = f" with {config.num_beams} beams" if config.num_beams > 1 else ""
            raise Invalid(
                f"The text may get {wanted} tokens; for an input of {source_tokens} tokens{beams}, "
                f"there is room for {max(0, room)}."
            )
        return int(min(wanted, room))

    def sampling(self, config: Any, job: Job, processors: Any) -> Sampling:
        return Sampling(
            do_sample=bool(config.do_sample),
            seed=job.parameters.get("seed", 0),
            temperature=config.temperature,
            top_k=config.top_k or 0,
            top_p=config.top_p,
            repetition_penalty=config.repetition_penalty,
            processors=processors,
        )

    def text(  # noqa: PLR0913 - all that a text is made of
        self,
        job: Job,
        config: Any,
        *,
        source: Any,
        source_tokens: int,
        decode: Callable[[Sequence[int]], str],
        answer: Callable[[Sequence[int]], Any],
        prompt: Sequence[int] = (),
        encoder_ids: Sequence[int] = (),
        cleans: bool = False,
    ) -> EncodedText:
        """``prompt``: what the decoder begins with, by default the configuration's own token. Raises ``Invalid``."""
        processed = is_processed(config) or (config.num_beams > 1 and config.repetition_penalty not in (None, 1.0))
        config = self._model._prepare_generation_config(config)[0]
        start = config.decoder_start_token_id
        ids = list(prompt) or [config.bos_token_id if start is None else start]
        new_tokens = self.new_tokens(config, len(ids), source_tokens, job)
        config.max_new_tokens, config.max_length = None, len(ids) + new_tokens
        config.min_length = min(config.min_length or 0, config.max_length)  # a request may ask for less than is usual
        processors = self._processors(config, len(ids), encoder_ids) if processed else None
        stop = (*(config.stop_strings or ()), *job.parameters.get("stop", ()))
        ends = config.eos_token_id
        end_tokens = frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])
        beams = None
        if config.num_beams > 1:
            settings = BeamSettings(
                width=config.num_beams,
                length_penalty=config.length_penalty,
                early_stopping=config.early_stopping,
                end_tokens=end_tokens,
                prompt_tokens=len(ids),
                longest=len(ids) + new_tokens,
                stops=partial(_ends_with, decode, stop) if stop else None,
            )
            beams = Beams(settings, [ids])
        text = EncodedText(
            job=job,
            ids=ids,
            prompt_tokens=len(ids),
            stop_conditions=StopConditions(new_tokens=new_tokens, end_tokens=end_tokens, stop=stop),
            sampling=self.sampling(config, job, processors),
            pieces=Detokenizer(decode, cleans=cleans),
            source=source,
            source_tokens=source_tokens,
            decode=decode,
            answer=answer,
            config=config,
            beams=beams,
        )
        if beams is None:
            text.resume(job.resume)
        return text

    def _processors(self, config: Any, prompt_tokens: int, encoder_ids: Sequence[int]) -> Any:
        device = self._model.device
        config = copy.deepcopy(config)
        self._model._prepare_special_tokens(config, kwargs_has_attention_mask=True, device=device)
        if config.min_new_tokens is not None:
            config.min_length = prompt_tokens + config.min_new_tokens
        return self._model._get_logits_processor(
            generation_config=config,
            input_ids_seq_length=prompt_tokens,
            encoder_input_ids=torch.tensor([list(encoder_ids)], device=device) if encoder_ids else None,
            device=device,
        )


def _ends_with(decode: Callable[[Sequence[int]], str], stop: Sequence[str], ids: Sequence[int]) -> bool:
    """Whether the last token completes one of the stop strings."""
    text = decode(ids)
    known = len(decode(ids[:-1]))
    return any(text.find(each, max(0, known - len(each) + 1)) >= 0 for each in stop)
