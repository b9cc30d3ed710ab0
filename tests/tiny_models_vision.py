"""Tiny models that see: random, but every part of a picture changes what they say.

Each function fills ``folder`` and returns it. Settings of image processors are written as JSON, as checkpoints have
them, so that making a model needs no Pillow.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
import transformers

from inference.conf import BUNDLED_MODEL
from tests import tiny_models

SIDE = 24
"""Pixels of the square that a picture is scaled to."""
PATCH = 8
BYTES = slice(1, 257)
"""Tokens of the GPT-2 that are no words. It rarely writes them."""
SHAPE = {
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.3,
    "image_size": SIDE,
    "patch_size": PATCH,
}
NORMAL = {"do_normalize": True, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


def image_to_text(folder: Path) -> Path:
    """A ViT that a GPT-2 reads."""
    torch.manual_seed(0)
    tokenizer = tiny_models.byte_level_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    decoder = transformers.GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=tiny_models.LONGEST,
        n_embd=24,
        n_layer=2,
        n_head=2,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
        is_decoder=True,
        add_cross_attention=True,
    )
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        transformers.ViTConfig(**SHAPE), decoder
    )
    model = transformers.VisionEncoderDecoderModel(config)
    ends = {"decoder_start_token_id": 0, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    embeddings = model.decoder.get_input_embeddings().weight.data
    embeddings *= 0.2
    embeddings[BYTES] *= 0.1
    model.generation_config.update(max_length=14, **ends)
    model.config.decoder_start_token_id = model.config.pad_token_id = 0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    size = {"do_resize": True, "size": {"height": SIDE, "width": SIDE}, "resample": 2}
    return _processor(folder, "ViTImageProcessor", **size)


def visual_question_answering(folder: Path) -> Path:
    """A ViLT: picture and question in one encoder, answers are classes."""
    torch.manual_seed(11)
    labels = {0: "yes", 1: "no", 2: "red", 3: "blue", 4: "two"}
    config = transformers.ViltConfig(
        **SHAPE,
        vocab_size=30_522,
        max_position_embeddings=tiny_models.LONGEST,
        id2label=labels,
        label2id={label: number for number, label in labels.items()},
    )
    transformers.ViltForQuestionAnswering(config).save_pretrained(folder)
    shutil.copy(Path(BUNDLED_MODEL) / "tokenizer.json", folder)
    settings = json.loads((Path(BUNDLED_MODEL) / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"model_max_length": tiny_models.LONGEST}))
    size = {"do_resize": True, "size": {"shortest_edge": SIDE}, "size_divisor": PATCH, "resample": 3, "do_pad": True}
    return _processor(folder, "ViltImageProcessor", **size)


def _processor(folder: Path, kind: str, **settings: Any) -> Path:
    content = {"image_processor_type": kind, "do_rescale": True, "rescale_factor": 1 / 255, **NORMAL, **settings}
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    return folder
