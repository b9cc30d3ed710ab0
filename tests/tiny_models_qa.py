"""Tiny models that find answers in texts, as those of ``tests/tiny_models.py``, but with room for long contexts."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
import transformers

from inference.conf import BUNDLED_MODEL
from tests import tiny_models

LONGEST = 160
"""Tokens of one window."""
SURE = 8.0
"""Times the weights of the head, so that a few answers get most of the probability."""


def bert(folder: Path) -> Path:
    """WordPiece, and two types of tokens: question and context."""
    torch.manual_seed(1)
    config = transformers.BertConfig(vocab_size=30_522, **tiny_models.SHAPE | {"max_position_embeddings": LONGEST})
    _save(transformers.BertForQuestionAnswering(config), folder)
    shutil.copy(Path(BUNDLED_MODEL) / "tokenizer.json", folder)
    settings = json.loads((Path(BUNDLED_MODEL) / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"model_max_length": LONGEST}))
    return folder


def roberta(folder: Path) -> Path:
    """Byte-level BPE: several tokens per character, ``<s> question </s></s> context </s>``, one type of tokens."""
    torch.manual_seed(4)
    tokenizer = roberta_tokenizer(LONGEST)
    shape = {"vocab_size": len(tokenizer), "max_position_embeddings": LONGEST + 2, "type_vocab_size": 1}
    _save(transformers.RobertaForQuestionAnswering(transformers.RobertaConfig(**tiny_models.SHAPE | shape)), folder)
    tokenizer.save_pretrained(folder)
    return folder


def roberta_tokenizer(longest: int) -> Any:
    """That of RoBERTa and BART, with the merges of ``tiny_models``."""
    trained = json.loads(tiny_models.byte_level_tokenizer().backend_tokenizer.to_str())["model"]
    words = [word for word in trained["vocab"] if word != "<end>"]
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", *words, "<mask>"]
    return transformers.RobertaTokenizer(
        vocab={word: number for number, word in enumerate(vocabulary)},
        merges=[tuple(pair) for pair in trained["merges"]],
        model_max_length=longest,
    )


def _save(model: Any, folder: Path) -> None:
    model.qa_outputs.weight.data *= SURE
    model.save_pretrained(folder)
