"""What the models are asked: per file of answers, models with their task, inputs and parameters."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.conftest import STORY
from tests.reference.pictures import PICTURES


class Question(NamedTuple):
    model: str
    task: str
    input: Any
    parameters: dict[str, Any]


def question_answering() -> Iterator[Question]:
    contexts = {
        "short": STORY,
        "long": LONG,
        "unicode": "Zoë paid 5 € in a café – near Ærø,\n\t“sailed” to İzmir… naïve Łukasz\u2009met 東京の友 👩‍🚀!",
        "unspaced": "東京は日本の首都です。大きな町です。",
        "word": "bread",
    }
    asked = [
        ("short", {}),
        ("short", {"top_k": 4}),
        ("short", {"top_k": 30, "max_answer_len": 2}),
        ("short", {"handle_impossible_answer": True, "top_k": 3}),
        ("short", {"max_answer_len": 1, "top_k": 2}),
        ("short", {"align_to_words": False, "top_k": 5}),
        ("short", {"max_seq_len": 40, "doc_stride": 12, "top_k": 3}),
        ("short", {"max_seq_len": 24, "doc_stride": 3, "handle_impossible_answer": True}),
        ("long", {}),
        ("long", {"top_k": 6, "max_answer_len": 4}),
        ("long", {"doc_stride": 16, "top_k": 3}),
        ("long", {"doc_stride": 100, "max_seq_len": 128, "top_k": 3, "align_to_words": False}),
        ("long", {"max_seq_len": 60, "handle_impossible_answer": True, "top_k": 2}),
        ("unicode", {"top_k": 4}),
        ("unicode", {"top_k": 4, "align_to_words": False}),
        ("unicode", {"max_seq_len": 32, "doc_stride": 8, "top_k": 3, "handle_impossible_answer": True}),
        ("unspaced", {"top_k": 3}),
        ("unspaced", {"top_k": 3, "align_to_words": False}),
        ("word", {}),
        ("word", {"handle_impossible_answer": True, "top_k": 5}),
    ]
    for model in ("tiny_models_qa.bert", "tiny_models_qa.roberta"):
        for name, parameters in asked:
            given = {"question": "Where do small boats go?", "context": contexts[name]}
            yield Question(model, "question-answering", given, parameters)
        given = {"question": "What is it — and who's Zoë?", "context": contexts["unicode"]}
        yield Question(model, "question-answering", given, {})


def summarization() -> Iterator[Question]:
    """Without ``max_new_tokens`` T5 wrote 256 tokens, whatever ``max_length`` said: that is not worth repeating."""
    asked: list[dict[str, Any]] = [
        {},
        {"num_beams": 1},
        {"num_beams": 1, "max_new_tokens": 6},
        {"max_length": 12, "min_length": 8},
        {"num_beams": 3, "length_penalty": 0.2, "early_stopping": True},
        {"num_beams": 1, "no_repeat_ngram_size": 2},
        {"num_beams": 1, "repetition_penalty": 1.4, "clean_up_tokenization_spaces": True},
    ]
    for text in (SENTENCE, "Small boats carry bread."):
        for parameters in asked:
            yield Question("tiny_models_encdec.summarizer", "summarization", text, parameters)
            if "max_length" not in parameters:
                yield Question("tiny_models_encdec.t5", "summarization", text, {"max_new_tokens": 20, **parameters})
    for model in ("tiny_models_encdec.summarizer", "tiny_models_encdec.t5"):
        yield Question(model, "summarization", LONG, {"truncation": True, "max_new_tokens": 12})


def translation() -> Iterator[Question]:
    texts = ("the old river runs under a stone bridge", "People speak of weather: long winters, small boats?")
    alone = {
        "tiny_models_encdec.t5": ("translation_en_to_de", "translation_en_to_fr"),
        "tiny_models_encdec.marian": ("translation",),
    }
    languages = {
        "tiny_models_encdec.mbart": [("en_XX", "de_DE"), ("fr_XX", "en_XX")],
        "tiny_models_encdec.nllb": [("eng_Latn", "deu_Latn"), ("fra_Latn", "eng_Latn")],
    }
    asked: tuple[dict[str, Any], ...] = (
        {"max_new_tokens": 20},
        {"num_beams": 1, "max_new_tokens": 20},
        {"num_beams": 1, "max_new_tokens": 5},
    )
    for text in texts:
        for parameters in asked:
            for model, tasks in alone.items():
                yield from (Question(model, task, text, parameters) for task in tasks)
            for model, pairs in languages.items():
                for source, target in pairs:
                    told = {"src_lang": source, "tgt_lang": target, **parameters}
                    yield Question(model, "translation", text, told)
    told = {"src_lang": "en_XX", "tgt_lang": "de_DE", "max_new_tokens": 12, "truncation": True}
    yield Question("tiny_models_encdec.mbart", "translation", LONG, told)


def text2text_generation() -> Iterator[Question]:
    asked = [
        {"max_new_tokens": 20},
        {"max_new_tokens": 20, "num_beams": 1},
        {"max_new_tokens": 8, "num_beams": 3, "num_return_sequences": 2},
        {"max_new_tokens": 20, "min_new_tokens": 10, "num_beams": 1, "no_repeat_ngram_size": 2},
    ]
    for model in ("tiny_models_encdec.t5", "tiny_models_encdec.bart"):
        for text in (SENTENCE, "question: where do boats go? context: they go to town", "bread"):
            yield from (Question(model, "text2text-generation", text, parameters) for parameters in asked)


def image_to_text() -> Iterator[Question]:
    for picture in PICTURES.values():
        yield Question("tiny_models_vision.image_to_text", "image-to-text", picture, {})
    for parameters in ({"max_new_tokens": 5}, {"generate_kwargs": {"num_beams": 3, "max_new_tokens": 8}}):
        yield Question("tiny_models_vision.image_to_text", "image-to-text", PICTURES["disc"], parameters)


def visual_question_answering() -> Iterator[Question]:
    model, task = "tiny_models_vision.visual_question_answering", "visual-question-answering"
    for picture in PICTURES.values():
        yield Question(model, task, {"image": picture, "question": "What color is the disc?"}, {})
    for parameters in ({"top_k": 1}, {"top_k": 100}):
        yield Question(model, task, {"image": PICTURES["disc"], "question": "how many boats are there"}, parameters)


def sentence_transformers() -> Iterator[Question]:
    texts = ("the old river", "Bread, salt & letters – naïve!", "", LONG)
    plain = "tiny_models_sentences.sentence_transformer"
    for text in texts:
        yield Question(plain, "encode", text, {})
    for parameters in ({"prompt_name": "query"}, {"prompt": "say: "}, {"truncate_dim": 6}):
        yield Question(plain, "encode", texts[0], parameters)
        yield Question(plain, "encode", texts[1], parameters)
    yield Question(plain, "encode", texts[1], {"truncate_dim": 6, "normalize_embeddings": True})
    for pooling in ("cls", "max_tokens", "mean_sqrt_len", "weighted_mean", "last_token"):
        yield Question(f"tiny_models_sentences.{pooling}", "encode", texts[1], {})


LONG = " ".join(f"{STORY}." if turn % 2 else STORY.title() + "," for turn in range(6))
"""Several windows of any model."""
SENTENCE = STORY[: STORY.index(" near")]
QUESTIONS = {
    "question-answering": question_answering,
    "summarization": summarization,
    "translation": translation,
    "text2text-generation": text2text_generation,
    "image-to-text": image_to_text,
    "visual-question-answering": visual_question_answering,
    "sentence-transformers": sentence_transformers,
}
