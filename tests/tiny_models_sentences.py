"""A tiny model in the form of sentence-transformers: modules after the encoder, and prompts."""

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from tests import tiny_models

LONGEST = 32
"""Tokens, as ``sentence_bert_config.json`` says it: less than the encoder takes."""
DIMENSIONS = 16
PROMPTS = {"query": "ask: ", "document": ""}


def sentence_transformer(folder: Path, *, pooling: str = "mean", dense: bool = True) -> Path:
    """Encoder, pooling (``mean``, ``cls``, ``max``, ``lasttoken``, ...), a dense layer with tanh, and normalization."""
    tiny_models.feature_extraction(folder)
    modules = ["Transformer", "Pooling", *(["Dense"] if dense else []), "Normalize"]
    paths = ["" if kind == "Transformer" else f"{number}_{kind}" for number, kind in enumerate(modules)]
    for path in paths:
        (folder / path).mkdir(exist_ok=True)
    listed = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, path) in enumerate(zip(modules, paths, strict=True))
    ]
    _write(folder / "modules.json", listed)
    _write(folder / "sentence_bert_config.json", {"max_seq_length": LONGEST, "do_lower_case": False})
    settings = {"prompts": PROMPTS, "default_prompt_name": None, "similarity_fn_name": "cosine"}
    _write(folder / "config_sentence_transformers.json", settings)
    width = tiny_models.SHAPE["hidden_size"]
    modes = dict.fromkeys((f"pooling_mode_{mode}" for mode in POOLING.values()), False)
    modes[f"pooling_mode_{POOLING[pooling]}"] = True
    pooled = {"word_embedding_dimension": width, **modes, "include_prompt": True}
    _write(folder / "1_Pooling/config.json", pooled)
    if dense:
        _dense(folder / "2_Dense", int(width))
    return folder


POOLING = {
    "mean": "mean_tokens",
    "cls": "cls_token",
    "max": "max_tokens",
    "mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "weightedmean": "weightedmean_tokens",
    "lasttoken": "lasttoken",
}
"""Names of sentence-transformers, and what ``1_Pooling/config.json`` calls them."""


def _dense(folder: Path, width: int) -> None:
    torch.manual_seed(12)
    layer = torch.nn.Linear(width, DIMENSIONS)
    safetensors.torch.save_file(
        {f"linear.{name}": value for name, value in layer.state_dict().items()}, folder / "model.safetensors"
    )
    about = {"in_features": width, "out_features": DIMENSIONS, "bias": True}
    _write(folder / "config.json", about | {"activation_function": "torch.nn.modules.activation.Tanh"})


def _write(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=2))
