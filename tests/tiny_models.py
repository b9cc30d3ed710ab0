"""Models of a few thousand weights, made on the fly: random, but with real tokenizers, so they differ in every input.

Each function fills ``folder`` and returns it. Texts are English words of the bundled model's WordPiece vocabulary.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers

from inference.conf import BUNDLED_MODEL

LONGEST = 48
"""Tokens that the models take."""
POISON = "zebra"
"""A word that ``poisonable`` models fail on: its token has no embedding."""
CHAT_TEMPLATE = (
    "{% if tools %}{{ tools | tojson }}\n{% endif %}"
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant:"
)
SHAPE = {
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": LONGEST,
    "initializer_range": 0.5,  # large enough that every word changes the result
}


def text_classification(folder: Path, **more: Any) -> Path:
    labels = {0: "calm", 1: "glad", 2: "cross"}
    return bert(folder, "BertForSequenceClassification", id2label=labels, **more)


def question_answering(folder: Path) -> Path:
    return bert(folder, "BertForQuestionAnswering")


def text_ranking(folder: Path) -> Path:
    return bert(folder, "BertForSequenceClassification", id2label={0: "relevance"})


def token_classification(folder: Path) -> Path:
    return bert(folder, "BertForTokenClassification", id2label={0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC"})


def zero_shot_classification(folder: Path) -> Path:
    return bert(folder, "BertForSequenceClassification", id2label={0: "contradiction", 1: "neutral", 2: "entailment"})


def feature_extraction(folder: Path) -> Path:
    return bert(folder, "BertModel")


def fill_mask(folder: Path) -> Path:
    return bert(folder, "BertForMaskedLM")


def poisonable(folder: Path) -> Path:
    """A classifier that fails on one word, in the forward pass and so with its whole batch."""
    return poisoned(text_classification(folder))


def poisoned(folder: Path) -> Path:
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    content["model"]["vocab"][POISON] = 99_999
    file.write_text(json.dumps(content))
    return folder


def bert(folder: Path, kind: str, **more: Any) -> Path:
    return encoder(folder, "Bert", kind, **more)


def encoder(folder: Path, family: str, kind: str, **more: Any) -> Path:
    """A model of any family of encoders: ``Roberta`` has ``RobertaConfig``. All take BERT's names of the shape."""
    torch.manual_seed(1)
    if "id2label" in more:
        more["label2id"] = {label: number for number, label in more["id2label"].items()}
    config = getattr(transformers, family + "Config")(vocab_size=30_522, **SHAPE | more)
    getattr(transformers, kind)(config).save_pretrained(folder)
    shutil.copy(Path(BUNDLED_MODEL) / "tokenizer.json", folder)
    settings = json.loads((Path(BUNDLED_MODEL) / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"model_max_length": LONGEST}))
    return folder


def text_generation(folder: Path) -> Path:
    """A GPT-2 with a byte-level tokenizer that is trained here."""
    return gpt2(folder, "GPT2LMHeadModel")


def endless(folder: Path) -> Path:
    """A GPT-2 with a chat template that goes on until it is stopped, for longer than any test."""
    return gpt2(folder, "GPT2LMHeadModel", n_positions=8192, eos_token_id=None, chat_template=CHAT_TEMPLATE)


def gpt2(folder: Path, kind: str, *, chat_template: str | None = None, **more: Any) -> Path:
    """A decoder; with ``pad_token_id`` its tokenizer can pad."""
    torch.manual_seed(2)
    tokenizer = byte_level_tokenizer()
    if "pad_token_id" in more:
        tokenizer.pad_token_id = more["pad_token_id"]
    shape = {"n_positions": LONGEST, "n_embd": 24, "n_layer": 2, "n_head": 2, "initializer_range": 0.5}
    config = transformers.GPT2Config(
        **{"vocab_size": len(tokenizer), **shape, "bos_token_id": 0, "eos_token_id": 0, **more}
    )
    tokenizer.chat_template = chat_template
    tokenizer.model_max_length = config.n_positions
    getattr(transformers, kind)(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def decoder(folder: Path, kind: str, longest: int = 512, *, uneven: bool = False, **more: Any) -> Path:
    """A causal language model of this architecture (``Llama``, ``Mistral``, ...), small and with a long memory.

    ``uneven``: norms and biases are not the ones and zeros that they begin with.
    """
    torch.manual_seed(3)
    tokenizer = byte_level_tokenizer()
    tokenizer.model_max_length = longest
    shape = {"vocab_size": len(tokenizer), "max_position_embeddings": longest, "initializer_range": 0.3}
    heads = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "bos_token_id": 0, "eos_token_id": 0}
    config = getattr(transformers, f"{kind}TextConfig", None) or getattr(transformers, f"{kind}Config")
    model = getattr(transformers, f"{kind}ForCausalLM")(config(**shape | heads | more))
    if uneven:
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.data += 0.3 * torch.randn(parameter.shape)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def llama(folder: Path) -> Path:
    """Rotary positions, and heads that share their keys."""
    return decoder(folder, "Llama", intermediate_size=48, num_key_value_heads=2)


def deciding(folder: Path) -> Path:
    """A Llama with a chat template that answers questions by letters, which are its tokens."""
    decoder(folder, "Llama", 1024, intermediate_size=48)
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    (folder / "decision.json").write_text('{"labels": {"noul": ["Y", "N"]}, "temperature": {"choice": 2.0}}')
    return folder


def mistral(folder: Path) -> Path:
    """Sees 20 tokens back."""
    return decoder(folder, "Mistral", intermediate_size=48, num_key_value_heads=2, sliding_window=20)


def opt(folder: Path) -> Path:
    """Learned positions, counted from the attention mask unless they are given."""
    return decoder(folder, "OPT", ffn_dim=48, word_embed_proj_dim=32, init_std=0.3)


def gpt_neox(folder: Path) -> Path:
    return decoder(folder, "GPTNeoX", intermediate_size=48)


def qwen(folder: Path) -> Path:
    return decoder(folder, "Qwen3", intermediate_size=48, num_key_value_heads=1, head_dim=16)


def bloom(folder: Path) -> Path:
    """Attends by distance (ALiBi), in a way of its own."""
    return decoder(folder, "Bloom", n_layer=2, n_head=4)


def byte_level_tokenizer() -> Any:
    trained = tokenizers.Tokenizer(tokenizers.models.BPE())
    trained.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<end>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator(["once upon a time there was a small boat on the old river"], trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=trained, eos_token="<end>", bos_token="<end>", model_max_length=LONGEST
    )
