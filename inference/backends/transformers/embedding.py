"""How a checkpoint of sentence-transformers makes one vector of a text: its ``modules.json`` and what belongs to it.

https://sbert.net/docs/package_reference/sentence_transformer/modules.html
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers.utils import cached_file

from inference.backends.transformers.checkpoint import Module, read_modules
from inference.backends.transformers.pooling import POOLINGS, chosen
from inference.conf import Conf

Step = Callable[[torch.Tensor], torch.Tensor]

LIMITS = tuple(f"sentence_{kind}_config.json" for kind in ("bert", "roberta", "distilbert", "xlm-roberta", "albert"))
"""Names that the transformer's own settings have had."""
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid")
"""Of ``torch.nn``."""


class NotUnderstood(Exception):
    """Modules that cannot be applied here. The message is the end of a sentence that begins with the checkpoint."""


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """What is done with the token vectors of a text, and what is put before it."""

    poolings: Sequence[str]
    includes_prompt: bool
    """Token vectors of the prompt are pooled as well."""
    steps: Sequence[Step]
    """After pooling; on vectors ``[1, size]``."""
    normalizes: bool
    """Vectors have length 1 in the end."""
    longest: int | None
    """Tokens that it was made for; a model may take more."""
    lowers: bool
    """Texts are read in lower case."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str = ""

    def pooled(self, vectors: torch.Tensor, *, prompt_tokens: int) -> torch.Tensor:
        """One vector ``[1, size]`` of ``[1, tokens, size]``, which begin with so many of the prompt."""
        skipped = 0 if self.includes_prompt else min(prompt_tokens, vectors.shape[1] - 1)
        return torch.cat([POOLINGS[name](vectors, skipped) for name in self.poolings], dim=-1)

    def finished(self, vector: torch.Tensor) -> torch.Tensor:
        """A pooled vector after all that follows but the last normalization."""
        for step in self.steps:
            vector = step(vector)
        return vector


def read_embedding(conf: Conf) -> Embedding | None:
    """``None`` for a checkpoint without such settings. Raises ``NotUnderstood``."""
    if (listed := _file(conf, "modules.json")) is None:
        return None
    try:
        modules = read_modules(Path(listed).read_bytes())
    except ValueError as error:
        raise NotUnderstood("has a modules.json that is not like those of sentence-transformers") from error
    if (kinds := [module.kind for module in modules])[:2] != ["Transformer", "Pooling"]:
        raise NotUnderstood(f"begins with the modules {', '.join(kinds[:2])}, not with a Transformer and a Pooling")
    pooling = _json(conf, f"{modules[1].path}/config.json") or {}
    poolings = chosen(pooling)
    if unknown := [name for name in poolings if name not in POOLINGS]:
        raise NotUnderstood(f"has the pooling {', '.join(unknown)}, which is not one of {', '.join(POOLINGS)}")
    normalizes = kinds[-1] == "Normalize"
    steps = [_step(conf, module) for module in modules[2 : -1 if normalizes else None]]
    own: dict[str, Any] = next((found for name in LIMITS if (found := _json(conf, name))), {})
    if (made := own.get("module_output_name", "token_embeddings")) != "token_embeddings":
        raise NotUnderstood(f"has a Transformer that makes {made}, not token vectors")
    prompts = _json(conf, "config_sentence_transformers.json") or {}
    return Embedding(
        poolings=poolings,
        includes_prompt=pooling.get("include_prompt", True),
        steps=steps,
        normalizes=normalizes,
        longest=own.get("max_seq_length"),
        lowers=bool(own.get("do_lower_case")),
        prompts=prompts.get("prompts") or {},
        default_prompt=prompts.get("default_prompt_name") or "",
    )


def _step(conf: Conf, module: Module) -> Step:
    if module.kind == "Normalize":
        return functional.normalize
    if module.kind == "Dropout":
        return torch.nn.Identity()
    if module.kind == "Dense":
        return _dense(conf, module.path)
    raise NotUnderstood(f"has a module {module.kind}, which is not one of Pooling, Dense, Normalize and Dropout")


def _dense(conf: Conf, path: str) -> Step:
    settings = _json(conf, f"{path}/config.json") or {}
    activation = settings.get("activation_function", "torch.nn.Tanh")
    kind = activation.rpartition(".")[2]
    if kind not in ACTIVATIONS or not activation.startswith("torch.nn."):
        raise NotUnderstood(
            f"has a Dense module with the activation {activation}, which is not one of torch.nn's usual"
        )
    if (file := _file(conf, f"{path}/model.safetensors")) is None:
        raise NotUnderstood(f"has no {path}/model.safetensors; other forms of weights may run foreign code")
    weights = {name: tensor.float() for name, tensor in load_file(file).items()}
    linear, bias, residual = weights["linear.weight"], weights.get("linear.bias"), weights.get("residual.weight")
    activate = getattr(torch.nn, kind)()

    def dense(vector: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = activate(functional.linear(vector, linear, bias))
        if not settings.get("use_residual"):
            return made
        return made + (vector if residual is None else functional.linear(vector, residual))

    return dense


def _json(conf: Conf, name: str) -> Any:
    file = _file(conf, name)
    return None if file is None else json.loads(Path(file).read_text())


def _file(conf: Conf, name: str) -> str | None:
    found: str | None = cached_file(
        conf.model,
        name,
        revision=conf.revision or None,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return found
