"""Attention in which the rows of one text, its beams, share what the encoder made of their source."""

from typing import Any

import torch
import transformers

from inference.backends.transformers import compat

NAME = "inference_seq2seq"


def shared_attention(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **kwargs: Any
) -> tuple[torch.Tensor, None]:
    """``sdpa``, except that there may be several rows of queries, of one token each, for each row of keys."""
    sdpa = compat.lookup("transformers.integrations.sdpa_attention.sdpa_attention_forward")
    texts, (rows, heads, length, size) = len(key), query.shape
    if rows == texts:
        return sdpa(module, query, key, value, attention_mask, **kwargs)  # type: ignore[no-any-return]
    width = rows // texts
    together = query.reshape(texts, width, heads, size).transpose(1, 2)
    mask = None if attention_mask is None else attention_mask[::width]
    result, _ = sdpa(module, together, key, value, mask, **kwargs | {"is_causal": False})
    return result.reshape(rows, length, heads, size), None


def register() -> None:
    """Make it known to transformers as ``NAME``."""
    transformers.AttentionInterface.register(NAME, shared_attention)
    transformers.AttentionMaskInterface.register(NAME, compat.lookup("transformers.masking_utils.sdpa_mask"))
