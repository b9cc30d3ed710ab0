"""The model, for texts that are at different positions."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers.cache_utils import EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from inference.backends.transformers.seq2seq.attention import NAME, register
from inference.backends.transformers.seq2seq.batch import Batch, begin
from inference.backends.transformers.seq2seq.positions import RowPositions
from inference.backends.transformers.seq2seq.text import EncodedText

Encode = Callable[[Sequence[Any]], torch.Tensor]
"""The encoder's output for these sources, ``[source, position, size]``, padded at the end."""


class Decoder:
    """Raises ``ValueError`` for a model whose decoder cannot be run like this; the message says why."""

    def __init__(self, model: Any, encode: Encode, longest: int, token: int) -> None:
        """``longest``: tokens that a text may have; ``token``: any but the one for padding."""
        self.model, self._encode = model, encode
        if not model.config.is_encoder_decoder:
            raise ValueError("it has no encoder")
        register()
        self._stock = model.config._attn_implementation
        self._positions: RowPositions | None = None
        if (stock := getattr(model.get_decoder(), "embed_positions", None)) is not None:
            self._positions = RowPositions(stock, longest, token, model.device)

    def enter(self) -> None:
        """Exchange parts of the model. Raises ``ValueError`` if that is not possible."""
        self.model.set_attn_implementation(NAME)
        if self.model.config._attn_implementation != NAME:
            raise ValueError("its attention cannot be exchanged")
        if self._positions is not None:
            self.model.get_decoder().embed_positions = self._positions

    def leave(self) -> None:
        """Make the model what it was."""
        if self._positions is not None:
            self.model.get_decoder().embed_positions = self._positions.stock
        self.model.set_attn_implementation(self._stock)

    def begin(self, texts: Sequence[EncodedText]) -> tuple[Batch, torch.Tensor]:
        """Read sources; the batch of these texts, and the scores of the next token of each.

        The decoder's tokens so far are equally many.
        """
        hidden = self._encode([text.source for text in texts])
        lengths = torch.tensor([text.source_tokens for text in texts], device=hidden.device)
        read = (torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]).long()
        batch = begin(texts, None if bool(read.all()) else read)
        return batch, self._call(batch, [row for text in texts for row in text.rows], hidden)

    def next(self, batch: Batch) -> torch.Tensor:
        """Scores of the next token of each row, ``[row, vocabulary]``; the batch only changes with ``Moved``."""
        rows = [row[-1:] for text in batch.texts for row in text.rows]
        # Keys and values of the source are cached: only the size of what they were made of is looked at.
        like = batch.cross.layers[0].keys
        hidden = like.new_zeros(1).expand(len(rows), batch.source_tokens, 1)
        return self._call(batch, rows, hidden)

    def _call(self, batch: Batch, rows: Sequence[Sequence[int]], hidden: torch.Tensor) -> torch.Tensor:
        device = hidden.device
        cached = torch.tensor([text.cached for text in batch.texts for _ in range(batch.width)], device=device)
        ids, columns = torch.tensor(rows, device=device), batch.columns
        end = columns + ids.shape[1]
        mask = (torch.arange(end, device=device) >= (columns - cached)[:, None]).long()
        read = batch.read
        if self._positions is not None:
            self._positions.positions = cached[:, None] + torch.arange(ids.shape[1], device=device)
        try:
            logits: torch.Tensor = self.model(
                encoder_outputs=BaseModelOutput(last_hidden_state=hidden),
                attention_mask=None if read is None else read.repeat_interleave(batch.width, 0),
                decoder_input_ids=ids,
                decoder_attention_mask=None if bool(mask.all()) else mask,
                past_key_values=EncoderDecoderCache(batch.own, batch.cross),
                use_cache=True,
            ).logits[:, -1]
        finally:
            if self._positions is not None:
                self._positions.positions = None
        return logits


def token_encoder(model: Any, padding: int) -> Encode:
    """For sources that are tokens."""

    def encode(sources: Sequence[Sequence[int]]) -> torch.Tensor:
        longest = max(map(len, sources))
        device = model.device
        ids = torch.tensor([[*ids, *[padding] * (longest - len(ids))] for ids in sources], device=device)
        lengths = torch.tensor([*map(len, sources)], device=device)
        mask = (torch.arange(longest, device=device) < lengths[:, None]).long()
        hidden: torch.Tensor = model.get_encoder()(input_ids=ids, attention_mask=mask)[0]
        return hidden

    return encode
