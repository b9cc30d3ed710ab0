"""Models of a few thousand weights that see: one for each task with images, like those of ``tiny_media_models``."""

import json
import shutil
from pathlib import Path
from typing import Any

import transformers

from inference.conf import BUNDLED_MODEL
from tests.tiny_media_models import SHAPE, SIDE, saved, square
from tests.tiny_models import LONGEST

VIT: dict[str, Any] = {**SHAPE, "image_size": SIDE, "patch_size": 8}
SEP = 102
"""The token that ends a text of the bundled model."""


def feature_extraction(folder: Path) -> Path:
    """A ViT without a head."""
    return saved(
        folder, transformers.ViTModel, transformers.ViTConfig(**VIT), transformers.ViTImageProcessorPil(**square())
    )


def clip(folder: Path, **more: Any) -> Path:
    text = {**SHAPE, "vocab_size": 30_522, "max_position_embeddings": LONGEST, "eos_token_id": SEP}
    config = transformers.CLIPConfig(text_config=text, vision_config=VIT, projection_dim=16, **more)
    size = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    saved(folder, transformers.CLIPModel, config, transformers.CLIPImageProcessorPil(**size))
    return with_tokenizer(folder)


def siglip(folder: Path) -> Path:
    text = {**SHAPE, "vocab_size": 30_522, "max_position_embeddings": 64, "projection_size": 24}
    config = transformers.SiglipConfig(text_config=text, vision_config=VIT)
    saved(folder, transformers.SiglipModel, config, transformers.SiglipImageProcessorPil(**square()))
    return with_tokenizer(folder, 64)


def with_tokenizer(folder: Path, longest: int = LONGEST) -> Path:
    """That of the bundled model."""
    shutil.copy(Path(BUNDLED_MODEL) / "tokenizer.json", folder)
    settings = json.loads((Path(BUNDLED_MODEL) / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"model_max_length": longest}))
    return folder
