"""Models of a few thousand weights for images and recordings, like those of ``tiny_models``."""

from pathlib import Path
from typing import Any

import torch
import transformers

SIDE = 32
"""Pixels of the squares that the models see."""
SHAPE = {
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.5,  # large enough that every image has another result
}
COLOURS = {0: "red", 1: "green", 2: "blue"}


def image_classification(folder: Path, **more: Any) -> Path:
    """A ViT."""
    config = transformers.ViTConfig(**SHAPE, image_size=SIDE, patch_size=8, **labels(), **more)
    return saved(folder, transformers.ViTForImageClassification, config, transformers.ViTImageProcessorPil(**square()))


def labels() -> dict[str, Any]:
    return {"id2label": COLOURS, "label2id": {label: number for number, label in COLOURS.items()}}


def square() -> dict[str, Any]:
    return {"size": {"height": SIDE, "width": SIDE}}


def saved(folder: Path, kind: Any, config: Any, *parts: Any) -> Path:
    torch.manual_seed(4)
    kind(config).save_pretrained(folder)
    for part in parts:
        part.save_pretrained(folder)
    return folder
