"""What a request may say, and what the checkpoint's configuration says where it does not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference.backends.transformers.seq2seq.generator import Seq2SeqGenerator
from inference.errors import Invalid
from inference.messaging.messages import Job
from tests.backends.transformers.seq2seq.driving import finish, generator, job, loaded, one
from tests.seq2seq_models import LONGEST, WORDS

NOTHING: dict[str, Any] = {"num_beams": None, "max_new_tokens": None, "do_sample": None}
LONG = " ".join(WORDS * 9)


@pytest.fixture(scope="module")
def t5(folder_of: Callable[[str], Path]) -> Seq2SeqGenerator:
    return generator(folder_of("t5"))


@pytest.fixture(scope="module")
def bart(folder_of: Callable[[str], Path]) -> Seq2SeqGenerator:
    return generator(folder_of("bart"))


def refusal(made: Seq2SeqGenerator, wanted: Job) -> str:
    with pytest.raises(Invalid) as raised:
        one(made, wanted)
    return raised.value.message


def test_without_settings_of_its_own_a_checkpoint_has_those_of_the_pipelines(t5: Seq2SeqGenerator) -> None:
    text = one(t5, job(**NOTHING))
    assert (text.width, text.stop_conditions.new_tokens) == (4, 256)


def test_a_checkpoint_with_settings_of_its_own_has_those(bart: Seq2SeqGenerator) -> None:
    text = one(bart, job(**NOTHING))
    config = text.config
    assert (text.width, text.stop_conditions.new_tokens) == (4, 23), "max_length counts the token that it begins with"
    assert (config.min_length, config.no_repeat_ngram_size, config.length_penalty) == (6, 2, 2.0)


@pytest.mark.parametrize(
    ("parameters", "new_tokens"), [({"max_length": 9}, 8), ({"max_length": 9, "max_new_tokens": 5}, 5)]
)
def test_a_request_says_how_long_its_text_may_get(
    t5: Seq2SeqGenerator, bart: Seq2SeqGenerator, parameters: dict[str, int], new_tokens: int
) -> None:
    for made in (t5, bart):
        assert one(made, job(**NOTHING | parameters)).stop_conditions.new_tokens == new_tokens


def test_drawing_tokens_is_for_one_beam(bart: Seq2SeqGenerator) -> None:
    text = one(bart, job(do_sample=True, num_beams=None, temperature=0.5, top_k=3))
    assert (text.width, text.sampling.do_sample, text.config.temperature, text.config.top_k) == (1, True, 0.5, 3)
    assert refusal(bart, job(do_sample=True, num_beams=2)) == (
        "With do_sample no beams are searched; leave num_beams out, or do_sample."
    )


def test_beams_have_no_tokens_to_stream(bart: Seq2SeqGenerator) -> None:
    def streamed(**parameters: Any) -> Job:
        given = job(**NOTHING | parameters)
        return Job(id=1, request_id="r", input="once", parameters=given.parameters, time_left_s=60, tokens=True)

    assert refusal(bart, streamed()) == (
        "This text would be searched with 4 beams, which give no tokens before its end; send num_beams 1 to have them."
    )
    assert one(bart, streamed(num_beams=1)).width == 1


def test_a_text_that_is_too_long_is_refused_or_cut(bart: Seq2SeqGenerator) -> None:
    assert refusal(bart, job(LONG)) == f"The input has {len(one_ids(bart, LONG))} tokens; this model takes at most 64."
    for how in ({"truncate": True}, {"truncation": "longest_first"}, {"truncation": "only_first"}):
        assert one(bart, job(LONG, **how)).source == one_ids(bart, LONG)[:LONGEST]
        assert counted(bart, LONG, **how) == (LONGEST, True)
    refusal(bart, job(LONG, truncate=False, truncation="do_not_truncate"))
    for how in ({"truncate": True}, {}):
        assert counted(bart, "once upon", **how) == (len(one_ids(bart, "once upon")), False)


def test_a_tokenizer_in_python_says_as_well_what_it_cuts_off(
    bart: Seq2SeqGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers  # noqa: PLC0415

    monkeypatch.setattr(
        bart._requests, "_tokenizer", transformers.ByT5Tokenizer()
    )  # a token for each byte, and one more
    lengths = [5, LONGEST - 1, LONGEST]
    assert [counted(bart, "o" * length, truncate=True) for length in lengths] == [
        (6, False),
        (LONGEST, False),
        (LONGEST, True),
    ]


def counted(made: Seq2SeqGenerator, text: str, **parameters: Any) -> tuple[int, bool]:
    prepared = one(made, job(text, **parameters))
    return prepared.input_tokens, prepared.truncated


def one_ids(made: Any, text: str) -> list[int]:
    ids: list[int] = made._requests._tokenizer(text)["input_ids"]
    return ids


def test_the_decoder_has_room_for_so_many_tokens(bart: Seq2SeqGenerator, t5: Seq2SeqGenerator) -> None:
    assert refusal(bart, job("a", max_new_tokens=64)) == (
        "The text may get 64 tokens; for an input of 1 tokens, there is room for 63."
    )
    assert one(bart, job("a", max_new_tokens=63)).stop_conditions.new_tokens == 63
    assert refusal(t5, job("a", num_beams=4, max_new_tokens=4096)) == (
        "The text may get 4096 tokens; for an input of 1 tokens with 4 beams, there is room for 4094."
    )


def test_spaces_before_punctuation_are_cleaned_up_if_that_is_asked_for(
    bart: Seq2SeqGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: Any = bart._requests
    monkeypatch.setattr(requests._decoder, "decode", lambda ids, **_: "so it is n't , is it ?")
    plain, cleaned = (one(bart, job(clean_up_tokenization_spaces=wanted)) for wanted in (False, True))
    assert plain.answer([65]) == [{"generated_text": "so it is n't , is it ?"}]
    assert cleaned.answer([65]) == [{"generated_text": "so it isn't, is it?"}]


@pytest.mark.parametrize(
    ("task", "parameters", "prefix", "width"),
    [
        ("summarization", {}, "summarize: ", 2),
        ("translation", {}, "translate English to German: ", 3),
        ("translation", {"src_lang": "en", "tgt_lang": "fr"}, "translate English to French: ", 3),
        ("text2text-generation", {}, "", 4),
    ],
)
def test_a_task_has_settings_of_its_own(
    folder_of: Callable[[str], Path], task: str, parameters: dict[str, Any], prefix: str, width: int
) -> None:
    made = generator(folder_of("t5"), task=task)
    text = one(made, job("once upon", **NOTHING | parameters))
    assert text.source == one_ids(made, f"{prefix}once upon")
    assert text.width == width
    field = {"summarization": "summary_text", "translation": "translation_text"}.get(task, "generated_text")
    assert text.answer([65]) == [{field: text.decode([65])}]


def test_an_unknown_language_is_refused_and_a_known_one_frames_the_text(folder_of: Callable[[str], Path]) -> None:
    made = generator(folder_of("mbart"))
    assert made.description.task == "translation"
    assert "Parameter tgt_lang is 'french'; this model knows" in refusal(made, job(tgt_lang="french"))
    assert "send tgt_lang" in refusal(made, job())
    requests: Any = made._requests
    tokenizer = requests._tokenizer
    codes = tokenizer.lang_code_to_id
    german, english = (one(made, job("once", src_lang=code, tgt_lang="fr_XX")) for code in ("de_DE", None))
    assert [german.source[-1], english.source[-1]] == [codes["de_DE"], codes["en_XX"]]
    [course, _] = finish(made, [german, english])
    assert course.tokens[0] == codes["fr_XX"]


@pytest.mark.parametrize(
    ("architecture", "task"),
    [
        ("MT5ForConditionalGeneration", "text2text-generation"),
        ("BartForConditionalGeneration", "text2text-generation"),
        ("MBartForConditionalGeneration", "translation"),
        ("M2M100ForConditionalGeneration", "translation"),
        ("MarianMTModel", "translation"),
        ("PegasusForConditionalGeneration", "summarization"),
    ],
)
def test_the_task_by_default_is_what_most_checkpoints_of_a_family_are_for(architecture: str, task: str) -> None:
    from types import SimpleNamespace  # noqa: PLC0415

    from inference.backends.transformers.checkpoint_task import task_of  # noqa: PLC0415 - imports torch
    from inference.conf import Conf  # noqa: PLC0415

    assert task_of(Conf(model="owner/name"), SimpleNamespace(architectures=[architecture]))[0].name == task


def test_weights_without_a_pipeline_are_loaded_as_parts(folder_of: Callable[[str], Path]) -> None:
    parts = loaded(folder_of("bart")).pipe
    assert type(parts).__name__ == "Parts"
    assert not parts.model.training
