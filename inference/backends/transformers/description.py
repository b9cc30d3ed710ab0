"""The description of a loaded pipeline, which web processes validate requests with."""

from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from inference.backends.transformers.devices import QUANTIZED
from inference.backends.transformers.loaded import Loaded
from inference.messaging.messages import Description

CHARS_PER_TOKEN = 64
"""More than any tokenizer packs into a token: beyond it, an input is too long without counting tokens."""
NO_LIMIT = 1_000_000
"""Tokenizers without a limit of their own report 1e30."""


def describe(loaded: Loaded, *, streams: bool = False, beams: int = 1, most_tokens: int = NO_LIMIT) -> Description:
    """``most_tokens``: of one input, where the model would take more."""
    tokenizer, config = loaded.pipe.tokenizer, loaded.pipe.model.config
    longest = min(most_tokens, _longest_input(tokenizer, config))
    form = loaded.task.input
    description = Description(
        task=loaded.task.name,
        model=loaded.name,
        revision=loaded.revision,
        device=loaded.device,
        dtype=QUANTIZED if loaded.quantized else loaded.dtype,
        threads=loaded.threads,
        vocabulary=getattr(config, "vocab_size", 0) or (len(tokenizer) if tokenizer else 0),
        mask_token=(tokenizer.mask_token or "") if form.masked else "",
        longest_input=longest,
        longest_input_chars=longest * CHARS_PER_TOKEN,
        streams=streams,
        beams=beams,
        chat=form.chats and bool(tokenizer.chat_template),
    )
    return msgspec.structs.replace(description, version=version_of(description, loaded.weights))


def version_of(description: Description, weights: str) -> str:
    """Identifies what is served: the files, and all else that decides which requests are valid and what they return.

    Device and number of threads do not count: workers that differ in these are interchangeable.
    """
    d = description
    decisive = (weights, d.task, d.dtype, d.vocabulary, d.mask_token, d.longest_input, d.streams, d.chat)
    return blake2b(repr(decisive).encode(), digest_size=6).hexdigest()


def _longest_input(tokenizer: Any, config: Any) -> int:
    """Tokens. What the tokenizer says, bounded by the model's position table."""
    limits = [tokenizer.model_max_length if tokenizer else NO_LIMIT, NO_LIMIT]
    positions = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    if positions:
        limits.append(positions - first_position(config))
    return int(min(limits))


def first_position(config: Any) -> int:
    """RoBERTa and its relatives count positions from the padding index + 1."""
    return (config.pad_token_id or 0) + 1 if "roberta" in config.model_type else 0


def resident_mb() -> int:
    """Memory of this process, in MB; 0 where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0  # not Linux
    return next((int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmRSS")), 0)
