"""Tiny models with an encoder and a decoder: random, but what they write depends on every word, and mostly ends.

Each function fills ``folder`` and returns it. Seeds and scales were searched for: with most others a model repeats one
word, whatever it is given. T5 knows a language from a prefix; ``mbart`` and ``nllb`` have to be told two.
"""

from pathlib import Path
from typing import Any

import torch
import transformers

from tests.tiny_models_qa import roberta_tokenizer

LONGEST = 128
"""Tokens that an encoder takes."""
SHAPE = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": LONGEST,
    "init_std": 0.3,
}
"""In the names of BART and its descendants."""
WORDS = (
    "the old river runs under a stone bridge while small boats carry bread salt and letters to every quiet town near "
    "our northern coast where people speak of weather music history science and of long winters that end too late "
    "translate summarize English German French"
)
BYTES = slice(4, 260)
"""Tokens of BART that are no words. It rarely writes them: most are no characters."""
NLLB_LANGUAGES = ["eng_Latn", "deu_Latn", "fra_Latn"]


def t5(folder: Path) -> Path:
    """With what the T5 of 2019 says about its tasks: prefixes, and parameters of each task."""
    torch.manual_seed(18)
    special = ["<pad>", "</s>", "<unk>"]
    tokenizer = transformers.T5Tokenizer(vocab=_unigrams(special), extra_ids=0, model_max_length=LONGEST)
    config = transformers.T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=16,
        d_ff=48,
        num_layers=2,
        num_heads=2,
        initializer_factor=3.0,
        decoder_start_token_id=0,
        task_specific_params={
            "summarization": {"prefix": "summarize: ", "num_beams": 4, "max_length": 20, "no_repeat_ngram_size": 3},
            "translation_en_to_de": {"prefix": "translate English to German: ", "num_beams": 4, "max_length": 24},
            "translation_en_to_fr": {"prefix": "translate English to French: ", "num_beams": 4, "max_length": 24},
        },
    )
    return _save(transformers.T5ForConditionalGeneration(config), tokenizer, folder, ends=1.5)


def bart(folder: Path, **generation: Any) -> Path:
    """Its first token is forced; ``generation`` is what its ``generation_config.json`` says besides."""
    torch.manual_seed(12)
    tokenizer = roberta_tokenizer(LONGEST)
    model = transformers.BartForConditionalGeneration(transformers.BartConfig(vocab_size=len(tokenizer), **SHAPE))
    model.generation_config.update(forced_bos_token_id=0, **generation)
    model.get_input_embeddings().weight.data[BYTES] *= 0.3
    return _save(model, tokenizer, folder)


def summarizer(folder: Path) -> Path:
    """A BART with the settings of the ones that were trained for it, smaller."""
    lengths = {"max_length": 24, "min_length": 6, "length_penalty": 2.0, "no_repeat_ngram_size": 3}
    return bart(folder, num_beams=4, early_stopping=True, **lengths)


def marian(folder: Path) -> Path:
    """The model of the OPUS translators. Their tokenizer needs sentencepiece, this one does not."""
    torch.manual_seed(12)
    special = ["</s>", "<unk>", "<pad>"]
    trained = transformers.T5Tokenizer(vocab=_unigrams(["<pad>", *special[:2]]), extra_ids=0)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=trained.backend_tokenizer,
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        model_max_length=LONGEST,
    )
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    ends = {"pad_token_id": pad, "eos_token_id": end, "forced_eos_token_id": end, "decoder_start_token_id": pad}
    config = transformers.MarianConfig(**{"vocab_size": len(tokenizer), **SHAPE, **ends, "init_std": 0.2})
    return _save(transformers.MarianMTModel(config), tokenizer, folder, ends=1.5)


def mbart(folder: Path) -> Path:
    """Source language at the end of the text, target language as first token."""
    torch.manual_seed(7)
    codes = transformers.models.mbart.tokenization_mbart.FAIRSEQ_LANGUAGE_CODES
    vocabulary = [*_unigrams(["<s>", "<pad>", "</s>", "<unk>"]), *[(code, 0.0) for code in codes], ("<mask>", 0.0)]
    tokenizer = transformers.MBartTokenizer(vocab=vocabulary, src_lang="en_XX", model_max_length=LONGEST)
    config = transformers.MBartConfig(vocab_size=len(tokenizer), **SHAPE)
    return _save(transformers.MBartForConditionalGeneration(config), tokenizer, folder, ends=1.5)


def nllb(folder: Path) -> Path:
    """An M2M100 with the tokenizer of NLLB: source language before the text, target language as first token."""
    torch.manual_seed(11)
    tokenizer = transformers.NllbTokenizer(
        **_pieces(["<s>", "<pad>", "</s>", "<unk>"]),
        additional_special_tokens=NLLB_LANGUAGES,
        src_lang="eng_Latn",
        model_max_length=LONGEST,
    )
    config = transformers.M2M100Config(vocab_size=len(tokenizer), scale_embedding=False, **SHAPE)
    return _save(transformers.M2M100ForConditionalGeneration(config), tokenizer, folder, ends=2.5)


def _unigrams(special: list[str]) -> list[tuple[str, float]]:
    """Words, and letters for all others. Nothing is trained, so it is the same everywhere."""
    words = [f"▁{word}" for word in dict.fromkeys(WORDS.split())]
    letters = [chr(number) for number in range(ord("a"), ord("z") + 1)]
    return [
        *((token, 0.0) for token in special),
        *((word, -4.0) for word in words),
        ("▁", -5.0),
        *((letter, -6.0) for letter in [*letters, ".", ",", ":", "?"]),
    ]


def _pieces(special: list[str]) -> dict[str, Any]:
    """The same words for BPE: each is merged letter by letter."""
    vocabulary = dict.fromkeys([*special, "▁", *(chr(n) for n in range(ord("a"), ord("z") + 1)), ".", ",", ":", "?"])
    merges: dict[tuple[str, str], None] = {}
    for word in WORDS.lower().split():
        piece = "▁"
        for letter in word:
            merges[piece, letter] = None
            piece += letter
            vocabulary[piece] = None
    return {"vocab": {token: number for number, token in enumerate(vocabulary)}, "merges": list(merges)}


def _save(model: Any, tokenizer: Any, folder: Path, ends: float = 1.0) -> Path:
    """Small embeddings, so that a token does not call for itself again; ``ends`` times more for the end token."""
    embeddings = model.get_input_embeddings().weight.data
    embeddings *= 0.2
    embeddings[model.config.eos_token_id] *= ends
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
