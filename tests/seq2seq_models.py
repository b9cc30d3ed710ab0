"""Encoder-decoder models of a few thousand weights, made on the fly: random, with real tokenizers of every kind.

Each function fills ``folder`` and returns it. All know the words of ``SENTENCES``.
"""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers

from tests.tiny_models import byte_level_tokenizer

WORDS = [
    "once",
    "upon",
    "a",
    "time",
    "there",
    "was",
    "small",
    "boat",
    "on",
    "the",
    "old",
    "river",
    "and",
    "nobody",
    "knew",
    "who",
    "had",
    "made",
    "it",
    "so",
]
LONGEST = 64
"""Tokens that an encoder and a decoder take."""
BART_SHAPE = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": LONGEST,
    "init_std": 0.3,
}


def sentences(count: int, seed: int = 1) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.choice((1, 3, 6, 12, 20)))) for _ in range(count)]


def t5(folder: Path, **generation: Any) -> Path:
    """Relative positions; prefixes for tasks, as the first T5 had them. Its configuration says nothing of beams."""
    tokenizer = byte_level_tokenizer()
    tokenizer.pad_token = "<end>"
    tokenizer.model_max_length = LONGEST
    specific = {
        "summarization": {"prefix": "summarize: ", "num_beams": 2, "min_length": 8, "length_penalty": 2.0},
        "translation_en_to_de": {"prefix": "translate English to German: ", "num_beams": 3, "early_stopping": True},
        "translation_en_to_fr": {"prefix": "translate English to French: ", "num_beams": 3},
    }
    config = transformers.T5Config(
        vocab_size=len(tokenizer) + 11, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, initializer_factor=4.0,
        decoder_start_token_id=1, eos_token_id=0, pad_token_id=1, task_specific_params=specific,
    )  # fmt: skip
    return _save(folder, "T5ForConditionalGeneration", config, tokenizer, **generation)


def bart(folder: Path, **generation: Any) -> Path:
    """Learned positions. Its configuration asks for beams, as those of summarizers do."""
    tokenizer = byte_level_tokenizer()
    tokenizer.pad_token = "<end>"
    tokenizer.model_max_length = LONGEST
    config = transformers.BartConfig(
        vocab_size=len(tokenizer), decoder_start_token_id=0, bos_token_id=0, eos_token_id=2, pad_token_id=1,
        forced_eos_token_id=2, **BART_SHAPE,
    )  # fmt: skip
    asked = {"num_beams": 4, "max_length": 20, "min_length": 6, "no_repeat_ngram_size": 2, "length_penalty": 2.0}
    return _save(folder, "BartForConditionalGeneration", config, tokenizer, **asked | {"max_length": 24}, **generation)


def marian(folder: Path, **generation: Any) -> Path:
    """Sinusoidal positions, and a tokenizer of two SentencePiece models."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces = _train_pieces(folder / "source.spm")
    shutil.copy(folder / "source.spm", folder / "target.spm")
    vocabulary = ["</s>", "<unk>", *(piece for piece in pieces if piece not in ("<s>", "</s>", "<unk>")), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({piece: number for number, piece in enumerate(vocabulary)}))
    tokenizer = transformers.MarianTokenizer(
        str(folder / "source.spm"), str(folder / "target.spm"), str(folder / "vocab.json"), model_max_length=LONGEST
    )
    padding = len(vocabulary) - 1
    config = transformers.MarianConfig(
        vocab_size=len(vocabulary), decoder_start_token_id=padding, eos_token_id=0, pad_token_id=padding,
        forced_eos_token_id=0, activation_function="swish", scale_embedding=True, static_position_embeddings=True,
        **BART_SHAPE,
    )  # fmt: skip
    asked = {"num_beams": 6, "max_length": 30, "bad_words_ids": [[padding]], "renormalize_logits": True}
    return _save(folder, "MarianMTModel", config, tokenizer, **asked, **generation)


def mbart(folder: Path, **generation: Any) -> Path:
    """A token for each language, after the text."""
    vocabulary = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [(piece, -float(n)) for n, piece in enumerate(_letters() + [f"▁{word}" for word in WORDS])]
    tokenizer = transformers.MBartTokenizer(vocab=vocabulary, src_lang="en_XX", model_max_length=LONGEST)
    config = transformers.MBartConfig(
        vocab_size=len(tokenizer), decoder_start_token_id=2, bos_token_id=0, eos_token_id=2, pad_token_id=1,
        forced_eos_token_id=2, scale_embedding=True, **BART_SHAPE,
    )  # fmt: skip
    return _save(
        folder, "MBartForConditionalGeneration", config, tokenizer, **{"num_beams": 5, "max_length": 30} | generation
    )


def m2m100(folder: Path, **generation: Any) -> Path:
    """A token for each language, before the text; its positions depend on padding."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces = _train_pieces(folder / "sentencepiece.bpe.model")
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", *(p for p in pieces if p not in ("<s>", "</s>", "<unk>"))]
    vocabulary += [f"unused{number}" for number in range(150)]  # few words would look like a tokenizer without files
    (folder / "vocab.json").write_text(json.dumps({piece: number for number, piece in enumerate(vocabulary)}))
    tokenizer = transformers.M2M100Tokenizer(
        str(folder / "vocab.json"), str(folder / "sentencepiece.bpe.model"), model_max_length=LONGEST
    )
    config = transformers.M2M100Config(
        vocab_size=len(vocabulary) + len(tokenizer.lang_code_to_id) + 8,
        decoder_start_token_id=2, bos_token_id=0, eos_token_id=2, pad_token_id=1,
        scale_embedding=True, **BART_SHAPE,
    )  # fmt: skip
    return _save(
        folder, "M2M100ForConditionalGeneration", config, tokenizer, **{"num_beams": 5, "max_length": 30} | generation
    )


def greedy_t5(folder: Path) -> Path:
    """Streams unless a request asks for beams."""
    return t5(folder, num_beams=1)


def _save(folder: Path, kind: str, config: Any, tokenizer: Any, **generation: Any) -> Path:
    torch.manual_seed(4)
    model = getattr(transformers, kind)(config)
    model.generation_config.update(**generation)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _letters() -> list[str]:
    return ["▁", *map(chr, range(ord("a"), ord("z") + 1))]


def _train_pieces(model: Path) -> list[str]:
    """A SentencePiece model at this path; returns its pieces."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences(200)),
        model_writer=(opened := model.open("wb")),
        vocab_size=80,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    opened.close()
    trained = sentencepiece.SentencePieceProcessor(model_file=str(model))
    return [trained.id_to_piece(number) for number in range(trained.vocab_size())]
