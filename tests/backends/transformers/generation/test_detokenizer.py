"""Text out of tokens: no half characters, and all pieces joined are the whole text."""

from collections.abc import Sequence
from typing import Any

import pytest
import tokenizers
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.backends.transformers.generation.detokenizer import INCOMPLETE, Detokenizer

BYTES = st.lists(st.integers(0, 255), max_size=40)
TEXTS = st.text(max_size=30)
steady = settings(deadline=None, max_examples=200)


def byte_level() -> Any:
    """Each byte is a token, and 256 is the end."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    made = tokenizers.Tokenizer(tokenizers.models.BPE({c: n for n, c in enumerate(alphabet)}, []))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.add_special_tokens(["<end>"])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>")


def words() -> Any:
    """Whole words with the space before them, as SentencePiece has it: the first one loses its space."""
    vocabulary = {word: n for n, word in enumerate(["▁a", "▁boat", "▁old", "s", ".", "▁", "é", "<end>"])}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="s"))
    made.decoder = tokenizers.decoders.Metaspace(prepend_scheme="always")
    made.add_special_tokens(["<end>"])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>")


def cleaning() -> Any:
    """Joins words with spaces, and then takes some of them away again."""
    vocabulary = {word: n for n, word in enumerate(["do", "n't", ".", "boat", "'s", "we", "'ve", "!", "<end>"])}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="boat"))
    made.add_special_tokens(["<end>"])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<end>", clean_up_tokenization_spaces=True
    )


BYTE_LEVEL, WORDS, CLEANING = byte_level(), words(), cleaning()


def told(tokenizer: Any, ids: Sequence[int], *, cleans: bool = False) -> tuple[list[str], str]:
    """The pieces, the last of them with what was missing; and the whole text."""

    def decode(some: Sequence[int]) -> str:
        return tokenizer.decode(list(some), skip_special_tokens=True)  # type: ignore[no-any-return]

    pieces = Detokenizer(decode, cleans=cleans)
    said = [pieces.push(token) for token in ids]
    whole = decode(ids)
    if said:
        said[-1] += pieces.rest(whole)
    return said, whole


@steady
@given(TEXTS)
def test_characters_come_whole(text: str) -> None:
    said, whole = told(BYTE_LEVEL, BYTE_LEVEL(text)["input_ids"])
    assert "".join(said) == whole == text
    assert all(INCOMPLETE not in piece for piece in said) or INCOMPLETE in text


@steady
@given(BYTES)
def test_bytes_that_are_no_characters_are_told_as_the_tokenizer_has_them(ids: list[int]) -> None:
    said, whole = told(BYTE_LEVEL, ids)
    assert "".join(said) == whole


@steady
@given(st.lists(st.integers(0, 7), max_size=20))
def test_spaces_before_words_are_kept(ids: list[int]) -> None:
    said, whole = told(WORDS, ids)
    assert "".join(said) == whole


@steady
@given(st.lists(st.integers(0, 8), max_size=20))
def test_what_a_later_token_may_change_is_held_back(ids: list[int]) -> None:
    said, whole = told(CLEANING, ids, cleans=True)
    assert "".join(said) == whole


@pytest.mark.parametrize("text", ["naïve café", "日本語の文", "👩\u200d🚀 and 🇫🇷", "a" * 100])
def test_no_piece_waits_longer_than_it_must(text: str) -> None:
    ids = BYTE_LEVEL(text)["input_ids"]
    said, _ = told(BYTE_LEVEL, ids)
    complete = [character for character in said if character]
    assert complete == list(text)


def test_only_the_last_few_tokens_are_decoded() -> None:
    seen: list[int] = []

    def decode(some: Sequence[int]) -> str:
        seen.append(len(some))
        return BYTE_LEVEL.decode(list(some))  # type: ignore[no-any-return]

    pieces = Detokenizer(decode)
    for token in BYTE_LEVEL("a long text, é and 日本 too, " * 20)["input_ids"]:
        pieces.push(token)
    assert max(seen) <= 8
