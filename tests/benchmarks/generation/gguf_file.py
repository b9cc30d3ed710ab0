"""A checkpoint of Llama's family with a byte-level tokenizer as a GGUF file, for llama.cpp. Runs in ``.venv-bench``.

python -m tests.benchmarks.generation.gguf_file FOLDER FILE (F32|Q4_1)

Q4_1 has four bits for each weight of a layer, and eight (Q8_0) for the embeddings, as llama.cpp's own converter would.
"""

import json
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.torch import load_file

TENSORS = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""Names of transformers, below a layer unless they begin with ``model``, and those of GGUF."""
LAYER = "model.layers."
PRE_TOKENIZER = "smollm"
"""Digits by themselves, then GPT-2's pattern."""


def write(folder: Path, file: Path, kind: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    part = file.with_suffix(".part")
    writer = gguf.GGUFWriter(part, "llama")
    _describe(writer, config, gguf.LlamaFileType[f"{'ALL' if kind == 'F32' else 'MOSTLY'}_{kind}"])
    _tokenizer(writer, config, json.loads((folder / "tokenizer.json").read_text()))
    for name, weight in load_file(folder / "model.safetensors").items():
        tensor, values = _tensor(name, weight.float().numpy(), config)
        stored = _stored_as(kind, tensor, values)
        writer.add_tensor(tensor, gguf.quants.quantize(values, stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.rename(file)


def _describe(writer: Any, config: dict[str, Any], file_type: int) -> None:
    heads = config["num_attention_heads"]
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(config["hidden_size"] // heads)
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])


def _tokenizer(writer: Any, config: dict[str, Any], tokenizer: dict[str, Any]) -> None:
    vocabulary, merges = tokenizer["model"]["vocab"], tokenizer["model"]["merges"]
    special = {token["content"] for token in tokenizer["added_tokens"] if token["special"]}
    words = sorted(vocabulary, key=vocabulary.__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list(words)
    writer.add_token_types([gguf.TokenType.CONTROL if word in special else gguf.TokenType.NORMAL for word in words])
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(False)


def _tensor(name: str, values: np.ndarray, config: dict[str, Any]) -> tuple[str, np.ndarray]:
    """Name and values for GGUF, where the two halves of a head that rotate together lie interleaved."""
    module, _, kind = name.removeprefix(LAYER).rpartition(".")
    layer = ""
    if name.startswith(LAYER):
        number, _, module = module.partition(".")
        layer = f"blk.{number}."
    tensor = TENSORS[module]
    if tensor in ("attn_q", "attn_k"):
        heads = config["num_attention_heads" if tensor == "attn_q" else "num_key_value_heads"]
        values = values.reshape(heads, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
    return f"{layer}{tensor}.{kind}", values


def _stored_as(kind: str, tensor: str, values: np.ndarray) -> Any:
    if kind == "F32" or values.ndim == 1:
        return gguf.GGMLQuantizationType.F32
    embeddings = tensor.startswith(("token_embd", "output"))
    return gguf.GGMLQuantizationType.Q8_0 if embeddings else gguf.GGMLQuantizationType[kind]


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
