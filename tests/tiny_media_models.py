"""Models of a few thousand weights for images and recordings, like those of ``tiny_models``."""

from pathlib import Path
from typing import Any

import torch
import transformers

from tests import tiny_models

SIDE = 32
"""Pixels of the squares that the models see."""
SHAPE = {
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.5,  # large enough that every image has another result
}
IMAGE_CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {% for part in message.content %}"
    "{{ '<image>' if part.type == 'image' else part.text }}{% endfor %}\n{% endfor %}assistant:"
)
COLOURS = {0: "red", 1: "green", 2: "blue"}


def image_classification(folder: Path, **more: Any) -> Path:
    """A ViT."""
    config = transformers.ViTConfig(**SHAPE, image_size=SIDE, patch_size=8, **labels(), **more)
    return saved(folder, transformers.ViTForImageClassification, config, transformers.ViTImageProcessorPil(**square()))


def image_text_to_text(folder: Path) -> Path:
    """A Llava: a CLIP sees the image, a Llama with a byte-level tokenizer answers."""
    tokenizer = tiny_models.byte_level_tokenizer()
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    tokenizer.model_max_length = 512
    text = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=512,
        num_key_value_heads=2,
        bos_token_id=0,
        eos_token_id=0,
        **SHAPE | {"hidden_size": 32, "num_attention_heads": 4},
    )
    seen = transformers.CLIPVisionConfig(image_size=SIDE, patch_size=8, **SHAPE | {"initializer_factor": 20.0})
    config = transformers.LlavaConfig(
        vision_config=seen, text_config=text, image_token_id=tokenizer.convert_tokens_to_ids("<image>")
    )
    processor = transformers.LlavaProcessor(
        image_processor=transformers.CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=square()["size"]),
        tokenizer=tokenizer,
        patch_size=8,
        num_additional_image_tokens=1,
        vision_feature_select_strategy="default",
        chat_template=IMAGE_CHAT_TEMPLATE,
    )
    return saved(folder, transformers.LlavaForConditionalGeneration, config, processor)


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
