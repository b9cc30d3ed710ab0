"""What embeds texts: the bare model, and what a checkpoint of sentence-transformers does with its token vectors."""

from collections.abc import Callable
from functools import partial

import torch

from inference.backends.transformers.embedding import NotUnderstood, read_embedding
from inference.backends.transformers.encoder import Encoder
from inference.backends.transformers.loaded import Loaded
from inference.backends.transformers.pooling import pooled_by
from inference.backends.transformers.rows import Row
from inference.conf import Conf
from inference.errors import Invalid

Pool = Callable[[torch.Tensor], torch.Tensor]
"""Makes ``[1, size]`` of ``[1, tokens, size]``."""
NO_SETTINGS = "has no settings of sentence-transformers (no modules.json)"


class Embedder(Encoder):
    token_outputs = ("last_hidden_state",)

    def __init__(self, loaded: Loaded, conf: Conf) -> None:
        super().__init__(loaded, conf)
        self.not_understood = ""
        """Why the checkpoint's own way to embed cannot be taken."""
        self._prompt_tokens: dict[str, int] = {}
        try:
            self.embedding = read_embedding(conf)
        except NotUnderstood as error:
            self.embedding, self.not_understood = None, str(error)

    def own_limit(self) -> int:
        """Tokens of a text that the checkpoint's own way is made for."""
        longest = self.embedding.longest if self.embedding else None
        return min(longest or self.description.longest_input, self.description.longest_input)

    def prompt(self, name: str | None) -> str:
        """What goes before a text; without a name, what the checkpoint has for that. Raises ``Invalid``."""
        embedding = self.embedding
        if name is None:
            return embedding.prompts.get(embedding.default_prompt, "") if embedding else ""
        if embedding is None or not embedding.prompts:
            raise Invalid("This model has no prompts; leave prompt_name out.")
        if name not in embedding.prompts:
            raise Invalid(f"There is no prompt {name!r}; known are: {', '.join(embedding.prompts)}.")
        return embedding.prompts[name]

    def read(self, text: str, prompt: str) -> str:
        """A text as the checkpoint's own way reads it."""
        whole = prompt + text
        return whole.lower() if self.embedding and self.embedding.lowers else whole

    def tokens_of(self, prompt: str) -> int:
        """Those that it has at the beginning of a text, with the special ones before it."""
        if prompt and prompt not in self._prompt_tokens:
            ids = self._tokenizer(prompt)["input_ids"]
            self._prompt_tokens[prompt] = len(ids) - (ids[-1] in self._tokenizer.all_special_ids)
        return self._prompt_tokens.get(prompt, 0)

    def with_pooling(self, row: Row, pool: Pool) -> Row:
        """The token vectors of this row become one vector as soon as they are there: together they are many MB."""
        return Row(row.inputs, {"pool": pool})

    def own_pooling(self, row: Row, prompt_tokens: int) -> Row:
        """The same in the checkpoint's own way, where it has one, or else their mean."""
        if self.embedding is None:
            return self.with_pooling(row, partial(pooled_by, "mean"))
        return self.with_pooling(row, partial(self.embedding.pooled, prompt_tokens=prompt_tokens))

    def reduced(self, row: Row, outputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if (pool := row.extras.get("pool")) is None:
            return outputs
        return {"pooled": pool(outputs["last_hidden_state"].float())}
