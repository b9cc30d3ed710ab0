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
POOLINGS = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
"""As ``1_Pooling/config.json`` names them."""


def sentence_transformer(
    folder: Path, *, pooling: str = "mean_tokens", dense: bool = True, normalize: bool = True
) -> Path:
    """Encoder, one of ``POOLINGS``, a dense layer with tanh, and normalization."""
    tiny_models.feature_extraction(folder)
    modules = ["Transformer", "Pooling", *(["Dense"] if dense else []), *(["Normalize"] if normalize else [])]
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
    modes = {f"pooling_mode_{name}": name == pooling for name in POOLINGS}
    pooled = {"word_embedding_dimension": width, **modes, "include_prompt": True}
    _write(folder / "1_Pooling/config.json", pooled)
    if dense:
        _dense(folder / "2_Dense", int(width))
    return folder


def cls(folder: Path) -> Path:
    return sentence_transformer(folder, pooling="cls_token", dense=False, normalize=False)


def max_tokens(folder: Path) -> Path:
    return sentence_transformer(folder, pooling="max_tokens", dense=False, normalize=False)


def mean_sqrt_len(folder: Path) -> Path:
    return sentence_transformer(folder, pooling="mean_sqrt_len_tokens", dense=False, normalize=False)


def weighted_mean(folder: Path) -> Path:
    return sentence_transformer(folder, pooling="weightedmean_tokens", dense=False, normalize=False)


def last_token(folder: Path) -> Path:
    return sentence_transformer(folder, pooling="lasttoken", dense=False, normalize=False)


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
