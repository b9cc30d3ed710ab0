"""A small model guesses for a larger one: texts are what they are without it, in fewer steps where it is right."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference.backends.base import LoadFailed
from inference.backends.transformers.generation import draft_model
from inference.backends.transformers.generation.draft_model import DraftModel
from inference.backends.transformers.generation.plan import FEW, PROMPT_TOKENS
from inference.conf import Conf
from inference.messaging.messages import Job
from tests import tiny_models
from tests.backends.transformers.running import load, run
from tests.generating import WORDS, Course, finish, generator, job, one

NEW: dict[str, Any] = {"max_new_tokens": 24, "min_new_tokens": 24}
LONG = " ".join(WORDS[n % len(WORDS)] for n in range(2 * PROMPT_TOKENS))
ASKED: list[dict[str, Any]] = [
    {},
    {"do_sample": True, "top_k": 20, "temperature": 0.9, "seed": 6},
    {"repetition_penalty": 1.3, "top_n_tokens": 2},
]
PROMPTS = ("once upon a time", "there was a small boat on the old river", LONG)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.decoder(
        tmp_path_factory.mktemp("models") / "llama", "Llama", 2048, intermediate_size=48, num_key_value_heads=2
    )


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another model of the same vocabulary, which is hardly ever right."""
    return tiny_models.decoder(
        tmp_path_factory.mktemp("models") / "other", "Llama", 2048, intermediate_size=40, num_hidden_layers=1
    )


@pytest.fixture(scope="module")
def plain(folder: Path) -> Any:
    return generator(folder, speculation="off")


def guessing(folder: Path, draft: Path) -> Any:
    made = generator(folder)
    made.draft_model = DraftModel(generator(draft, prefix_cache_mb=0))
    return made


@pytest.fixture(scope="module")
def right(folder: Path) -> Any:
    """Its draft is the model itself."""
    return guessing(folder, folder)


@pytest.fixture(scope="module")
def wrong(folder: Path, other: Path) -> Any:
    return guessing(folder, other)


def asked(**parameters: Any) -> list[Job]:
    return [job(prompt, number=n, **NEW | parameters) for n, prompt in enumerate(PROMPTS)]


def one_by_one(made: Any, jobs: list[Job]) -> list[Course]:
    return [course for each in jobs for course in finish(made, [one(made, each)])]


def assert_equal(got: list[Course], wanted: list[Course]) -> None:
    for mine, theirs in zip(got, wanted, strict=True):
        assert mine.tokens == theirs.tokens
        assert mine.text == theirs.text
        assert mine.last.output == theirs.last.output
        assert [step.logprob for step in mine.made] == pytest.approx([step.logprob for step in theirs.made], abs=1e-4)


@pytest.mark.parametrize("parameters", ASKED, ids=repr)
def test_texts_are_the_same_with_and_without(right: Any, wrong: Any, plain: Any, parameters: dict[str, Any]) -> None:
    wanted = one_by_one(plain, asked(**parameters))
    for made in (right, wrong):
        assert_equal(one_by_one(made, asked(**parameters)), wanted)


def test_right_guesses_save_steps(right: Any, folder: Path) -> None:
    before = right.figures
    steps = 0
    text = one(right, job("small", **NEW))
    while text.index < NEW["max_new_tokens"]:
        right.retain([text])
        planned, cached = right.step_tokens([text]), text.cached
        right.step([text])
        assert planned >= text.cached - cached
        steps += 1
    right.retain(())
    figures = right.figures
    saved = figures.right_guesses - before.right_guesses
    assert steps == NEW["max_new_tokens"] + 1 - saved - 1
    assert saved > NEW["max_new_tokens"] / 2
    assert figures.guessed_tokens - before.guessed_tokens >= saved


def test_texts_join_and_leave(right: Any, wrong: Any, plain: Any) -> None:
    jobs = [job(WORDS[n], number=n, max_new_tokens=6 + 5 * n) for n in range(FEW + 2)]
    wanted = finish(plain, [one(plain, each) for each in jobs])
    for made in (right, wrong):
        assert_equal(finish(made, [one(made, each) for each in jobs]), wanted)
        assert made.draft_model._generator.cache.tokens == 0, "rows of texts that have left"


def test_a_text_goes_on_where_the_draft_model_fails(
    folder: Path, plain: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = guessing(folder, folder)

    def fail(text: Any) -> int:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(made.draft_model._generator, "extend", fail)
    assert_equal(one_by_one(made, asked()), one_by_one(plain, asked()))
    assert caplog.text.count("The draft model has failed, and guesses nothing from now on: RuntimeError(") == 1


def test_it_is_loaded_beside_the_model_and_freed_with_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft_model, "WORTH_IT", float("inf"))
    made: Any = load(folder, draft_model=str(folder))
    wanted: Any = load(folder)
    sent = [(PROMPTS[0], NEW | {"do_sample": False})]
    assert run(made, sent) == run(wanted, sent)
    assert made.figures.right_guesses > 0
    assert made.description.version == wanted.description.version, "answers are the same"
    draft = made.draft_model._generator
    made.close()
    assert not vars(draft)


def test_one_that_is_too_slow_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft_model, "WORTH_IT", 0.0)
    reports: list[str] = []
    from inference.backends.transformers import backend  # noqa: PLC0415

    made: Any = backend.load(Conf(model=str(folder), draft_model=str(folder)), reports.append)
    assert made.draft_model is None
    assert any("the draft model is not used: a step of it takes" in each for each in reports), reports


def test_without_speculation_it_is_not_loaded(folder: Path) -> None:
    made: Any = load(folder, draft_model="/nowhere", speculation="off")
    assert made.draft_model is None


def test_what_cannot_guess_is_refused(folder: Path, tmp_path: Path) -> None:
    bundled = tiny_models.fill_mask(tmp_path / "masks")
    with pytest.raises(LoadFailed, match="masks"):
        load(folder, draft_model=str(bundled))
    vocabulary = tiny_models.gpt2(tmp_path / "gpt2", "GPT2LMHeadModel")
    for file in vocabulary.glob("tokenizer*.json"):
        file.write_text(file.read_text().replace("<end>", "<stop>"))
    with pytest.raises(LoadFailed, match="The draft model gpt2 has another vocabulary than llama; choose one of"):
        load(folder, draft_model=str(vocabulary))


def test_a_row_that_the_draft_model_does_not_have_is_not_guessed(right: Any) -> None:
    text = one(right, job("once", **NEW))
    text.decoding = True
    assert right.draft_model.tokens([text]) > 0
    assert right.draft_model.tokens([replace(text, capacity=4096)]) == 0
    assert right.draft_model.tokens([text] * (FEW + 1)) == 0
