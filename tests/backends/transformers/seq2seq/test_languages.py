from types import SimpleNamespace
from typing import Any

import pytest

from inference.backends.transformers.seq2seq.languages import Languages, Told
from inference.errors import Invalid

CODES = {"en_XX": 7, "fr_XX": 8, "de_DE": 9}
PAIRS = {
    "translation_en_to_de": {"prefix": "to German: ", "num_beams": 4},
    "translation_en_to_fr": {"prefix": "to French: "},
    "summarization": {"prefix": "summarize: "},
}


def languages(codes: dict[str, int] = CODES, specific: Any = None, target: Any = None) -> Languages:
    tokenizer = SimpleNamespace(**({"src_lang": "en_XX", "lang_code_to_id": codes} if codes else {}))
    return Languages(tokenizer, specific or {}, "translation", target)


def test_a_language_is_told_by_its_token():
    assert languages().told("de_DE", "fr_XX") == Told(settings={"forced_bos_token_id": 8}, source="de_DE")
    assert languages().told(None, "de_DE") == Told(settings={"forced_bos_token_id": 9})


def test_a_language_that_the_checkpoint_forces_need_not_be_told():
    assert languages(target=8).told("de_DE", None) == Told(source="de_DE")
    assert languages(target=8).told(None, "en_XX") == Told(settings={"forced_bos_token_id": 7})
    with pytest.raises(Invalid, match=r"translates to 3 languages; send tgt_lang, such as en_XX, fr_XX, de_DE\."):
        languages().told("de_DE", None)


def test_warm_up_translates_to_any_language():
    assert languages().told(None, "") == Told(settings={"forced_bos_token_id": 7})
    assert languages(target=8).told(None, "") == Told()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("de_DE", "fr_FR"), "Parameter tgt_lang is 'fr_FR'; this model knows 3 languages, such as fr_XX."),
        (("deu", "fr_XX"), "Parameter src_lang is 'deu'; this model knows 3 languages, such as de_DE."),
        ((None, "zz"), "Parameter tgt_lang is 'zz'; this model knows 3 languages, such as en_XX, fr_XX, de_DE."),
    ],
)
def test_an_unknown_language_is_told_so_with_those_that_are_close(given: Any, message: str):
    with pytest.raises(Invalid) as raised:
        languages().told(*given)
    assert raised.value.message == message


def test_a_pair_is_told_by_a_prefix():
    assert languages({}, PAIRS).told("en", "fr") == Told("to French: ")
    assert languages({}, PAIRS).told("en", "de") == Told("to German: ", {"num_beams": 4})
    with pytest.raises(Invalid) as raised:
        languages({}, PAIRS).told("fr", "en")
    assert raised.value.message == (
        "This model does not translate from 'fr' to 'en'; it translates en to de, en to fr."
    )


def test_a_model_of_one_pair_has_no_languages_to_choose_from():
    with pytest.raises(Invalid, match="This model knows no names of languages; leave tgt_lang out"):
        languages({}).told("en", "de")
    with pytest.raises(Invalid, match="leave src_lang out"):
        languages({}).told("en", None)
