"""The bytes of single tokens: joined, they are the text, whatever kind of tokenizer there is."""

from pathlib import Path
from typing import Any

import pytest
import tokenizers
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.backends.transformers.generation.vocabulary import Vocabulary
from tests import seq2seq_models
from tests.backends.transformers.generation.test_detokenizer import BYTE_LEVEL, CLEANING, WORDS

steady = settings(deadline=None, max_examples=100)


def byte_fallback() -> Any:
    """As Llama 2 and Gemma have it: what is no word is bytes."""
    words = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁a", "▁boat", "s", "▁", "é"]
    made = tokenizers.Tokenizer(
        tokenizers.models.BPE({word: n for n, word in enumerate(words)}, [], byte_fallback=True, unk_token="<unk>")
    )
    steps = tokenizers.decoders
    made.decoder = steps.Sequence([steps.Replace("▁", " "), steps.ByteFallback(), steps.Fuse(), steps.Strip(" ", 1, 0)])
    made.add_special_tokens(["<unk>", "<s>"])
    made.add_tokens(["  ▁"])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", bos_token="<s>")


def bytes_of(tokenizer: Any, *words: str) -> list[bytes]:
    vocabulary = Vocabulary(tokenizer)
    return [vocabulary.bytes_of(tokenizer.convert_tokens_to_ids(word)) for word in words]


@steady
@given(st.text(max_size=30))
def test_bytes_of_a_byte_level_tokenizer_are_the_texts(text: str) -> None:
    vocabulary = Vocabulary(BYTE_LEVEL)
    each = [vocabulary.bytes_of(token) for token in BYTE_LEVEL(text)["input_ids"]]
    assert [len(data) for data in each] == [1] * len(each)
    assert b"".join(each) == text.encode()


def test_half_a_character_is_half_a_character() -> None:
    vocabulary = Vocabulary(BYTE_LEVEL)
    first, second = BYTE_LEVEL("é")["input_ids"]
    assert (vocabulary.bytes_of(first), vocabulary.bytes_of(second)) == (b"\xc3", b"\xa9")
    assert (vocabulary.text_of(first), vocabulary.text_of(second)) == ("\ufffd", "\ufffd")


def test_tokens_of_sentencepiece_have_their_spaces_and_bytes() -> None:
    assert bytes_of(byte_fallback(), "▁boat", "s", "▁", "é", "<0xE2>", "<0x0A>") == [
        b" boat",
        b"s",
        b" ",
        "é".encode(),
        b"\xe2",
        b"\n",
    ]
    assert bytes_of(WORDS, "▁a", "s", "▁", "é") == [b" a", b"s", b" ", "é".encode()]


def test_special_and_added_tokens_are_their_names() -> None:
    assert bytes_of(byte_fallback(), "<s>", "  ▁") == [b"<s>", "  ▁".encode()]
    assert bytes_of(BYTE_LEVEL, "<end>") == [b"<end>"]


def test_a_token_that_only_the_model_has_is_nothing() -> None:
    assert Vocabulary(BYTE_LEVEL).bytes_of(len(BYTE_LEVEL)) == b""


def test_of_other_tokenizers_it_is_what_they_decode() -> None:
    assert bytes_of(CLEANING, "boat", "n't") == [b"boat", b"n't"]


@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
def test_a_tokenizer_in_python_has_bytes_as_well(tmp_path: Path) -> None:
    seq2seq_models.marian(tmp_path)
    tokenizer = transformers.MarianTokenizer.from_pretrained(tmp_path)
    assert not tokenizer.is_fast
    vocabulary = Vocabulary(tokenizer)
    joined = b"".join(vocabulary.bytes_of(token) for token in tokenizer("once upon a river")["input_ids"])
    assert joined == b" once upon a river</s>"
