"""Models of a few thousand weights that see: one for each task with images, like those of ``tiny_media_models``."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
import transformers

from inference.conf import BUNDLED_MODEL
from tests.tiny_media_models import SHAPE, SIDE, labels, saved, square
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


def detr(folder: Path) -> Path:
    """Images keep their proportions, and are padded."""
    return _detr(folder, transformers.DetrForObjectDetection)


def detr_with_masks(folder: Path) -> Path:
    """Masks of things: random ones would all be the same, so what tells them apart is enlarged."""
    _detr(folder, transformers.DetrForSegmentation)
    model = transformers.DetrForSegmentation.from_pretrained(folder)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "bbox_attention" in name or "query_position" in name:
                weights *= 8
        model.mask_head.output_conv.weight *= 10
    model.save_pretrained(folder)
    return folder


def _detr(folder: Path, kind: Any) -> Path:
    layers = {"embedding_size": 8, "hidden_sizes": [8, 8, 8, 16], "depths": [1, 1, 1, 1], "layer_type": "basic"}
    backbone = transformers.ResNetConfig(**layers, out_features=["stage1", "stage2", "stage3", "stage4"])
    shape = {"d_model": 64, "encoder_layers": 1, "decoder_layers": 1, "init_std": 0.3, "init_xavier_std": 10.0}
    heads = {"encoder_attention_heads": 8, "decoder_attention_heads": 8, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    config = transformers.DetrConfig(
        use_timm_backbone=False, backbone=None, backbone_config=backbone, num_queries=6, **shape, **heads, **labels()
    )
    size = {"size": {"shortest_edge": 2 * SIDE, "longest_edge": 4 * SIDE}}
    return saved(folder, kind, config, transformers.DetrImageProcessorPil(**size))


def yolos(folder: Path) -> Path:
    shape = {
        "image_size": [SIDE, SIDE],
        "patch_size": 8,
        "num_detection_tokens": 5,
        "use_mid_position_embeddings": False,
    }
    size = {"size": {"shortest_edge": 2 * SIDE, "longest_edge": 4 * SIDE}}
    config = transformers.YolosConfig(**SHAPE | shape, **labels())
    return saved(folder, transformers.YolosForObjectDetection, config, transformers.YolosImageProcessorPil(**size))


def segformer(folder: Path, number: int = 11) -> Path:
    """One mask for each label."""
    names = {n: f"label {n}" for n in range(number)}
    config = transformers.SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 16],
        patch_sizes=[7, 3],
        strides=[4, 2],
        num_attention_heads=[1, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=16,
        initializer_range=0.5,
        id2label=names,
        label2id={name: n for n, name in names.items()},
    )
    processor = transformers.SegformerImageProcessorPil(**square())
    return saved(folder, transformers.SegformerForSemanticSegmentation, config, processor)


def glpn(folder: Path) -> Path:
    config = transformers.GLPNConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 16],
        patch_sizes=[7, 3],
        strides=[4, 2],
        num_attention_heads=[1, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=16,
        initializer_range=0.5,
    )
    return saved(
        folder, transformers.GLPNForDepthEstimation, config, transformers.GLPNImageProcessorPil(size_divisor=8)
    )


def dpt(folder: Path) -> Path:
    config = transformers.DPTConfig(
        **VIT | {"num_hidden_layers": 4},
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        is_hybrid=False,
    )
    return saved(folder, transformers.DPTForDepthEstimation, config, transformers.DPTImageProcessorPil(**square()))


def layoutlm(folder: Path) -> Path:
    """Reads the words of a page and their places."""
    config = transformers.LayoutLMConfig(**SHAPE, vocab_size=30_522, max_position_embeddings=LONGEST)
    saved(folder, transformers.LayoutLMForQuestionAnswering, config)
    return with_tokenizer(folder)


def with_tokenizer(folder: Path, longest: int = LONGEST) -> Path:
    """That of the bundled model."""
    shutil.copy(Path(BUNDLED_MODEL) / "tokenizer.json", folder)
    settings = json.loads((Path(BUNDLED_MODEL) / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"model_max_length": longest}))
    return folder
