"""Continuous batching on real models: what comes out is what ``generate`` makes of each prompt by itself."""

import json
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inference.backends.transformers import backend
from inference.backends.transformers.generation.kv_cache import ROWS
from inference.backends.transformers.generation.plan import PROMPT_TOKENS
from inference.conf import Conf
from inference.errors import Invalid
from inference.messaging.messages import Job
from tests import generating, tiny_models
from tests.generating import ADJUSTED, ARCHITECTURES, Course, finish, generator, greedily, job, one

WORDS = "once upon a time there was a small boat"


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = getattr(tiny_models, name)(tmp_path_factory.mktemp("models") / name)
        return made[name]

    return folder


@pytest.fixture(scope="module")
def llama(folder_of: Callable[[str], Path]) -> Any:
    return generator(folder_of("llama"))


@pytest.fixture(scope="module")
def pipe(folder_of: Callable[[str], Path]) -> Any:
    import transformers  # noqa: PLC0415

    return transformers.pipeline("text-generation", model=str(folder_of("llama")))


@pytest.fixture(autouse=True)
def _nothing_stays(request: pytest.FixtureRequest) -> Any:
    yield
    if "llama" in request.fixturenames:
        made = request.getfixturevalue("llama")
        made.retain(())
        made.cache.prefixes.clear()
        assert made.cache.tokens == 0


# Equality


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_texts_that_join_at_random_times_are_those_of_generate(name: str, folder_of: Callable[[str], Path]) -> None:
    counted = generating.compare(folder_of(name), prompts=20, seed=2)
    assert (counted["wrong"], counted["near tie"]) == (0, 0)


def test_the_answer_is_the_pipelines_own(llama: Any, pipe: Any) -> None:
    for parameters in ({}, {"return_full_text": False}, {"repetition_penalty": 1.8}, {"max_new_tokens": 1}):
        (course,) = finish(llama, [one(llama, job(WORDS, **parameters))])
        assert json.loads(course.last.output) == pipe(WORDS, **{"do_sample": False, "max_new_tokens": 12} | parameters)


def test_each_token_has_its_bytes_and_the_likeliest_ones_if_that_is_asked_for(llama: Any) -> None:
    asked, silent, nobody = (
        one(llama, job(WORDS, top_n_tokens=3, repetition_penalty=1.8)),
        one(llama, job("a boat")),
        one(llama, msgspec.structs.replace(job(WORDS, top_n_tokens=3), tokens=False)),
    )
    told, untold, unheard = finish(llama, [asked, silent, nobody])
    for course in (told, untold):
        assert b"".join(step.data for step in course.made).decode(errors="replace") == course.text
    assert all(step.data and not step.top for step in (*untold.made, *unheard.made))
    for step in told.made:
        assert len(step.top) == 3
        assert step.logprob <= step.top[0][2], "it is the best only before the penalty"
        assert {text: logprob for token, text, logprob in step.top if token == step.token} in (
            {},
            {step.data.decode(errors="replace"): step.logprob},
        )
    assert any(step.token == step.top[0][0] for step in told.made)


def test_texts_with_penalties_and_biases_are_those_of_a_plain_loop(llama: Any, pipe: Any) -> None:
    texts = [one(llama, job(WORDS, number, **each)) for number, each in enumerate(ADJUSTED)]
    courses = finish(llama, texts, random.Random(4))
    for text, course, each in zip(texts, courses, ADJUSTED, strict=True):
        assert course.tokens == greedily(pipe.model, text.ids[: text.prompt_tokens], each), each
    assert len({course.text for course in courses}) == len(ADJUSTED)


def test_a_text_must_not_have_more_tokens_than_it_may(llama: Any) -> None:
    with pytest.raises(Invalid) as refused:
        one(llama, job(WORDS, min_new_tokens=5, max_new_tokens=4))
    assert refused.value.message == (
        "Parameter min_new_tokens is 5; this text may get 4 tokens, so raise max_new_tokens."
    )


def test_a_prompt_of_token_ids_is_continued_like_its_text(llama: Any, pipe: Any) -> None:
    """Just these are read: a special one in them as well, and in the prompt's text it is not."""
    ids = pipe.tokenizer(WORDS)["input_ids"]
    ways: list[dict[str, Any]] = [{}, {"return_full_text": False}]
    prompts: list[Any] = [{"token_ids": ids}, WORDS, {"token_ids": [0, *ids]}]
    courses = finish(llama, [one(llama, job(prompt, **way)) for way in ways for prompt in prompts])
    answers = [json.loads(course.last.output)[0]["generated_text"] for course in courses]
    assert answers[0] == answers[1]
    assert answers[2] == WORDS + courses[2].text
    assert answers[3:] == [courses[3].text, courses[4].text, courses[5].text]
    assert courses[0].tokens == courses[1].tokens != courses[2].tokens
    text = one(llama, job({"token_ids": [0, *ids]}))
    assert (text.prompt_tokens, text.input_tokens) == (len(ids) + 1, len(ids) + 1)
    with pytest.raises(Invalid, match="The input has 510 tokens and max_new_tokens is 12; together they may be 512"):
        one(llama, job({"token_ids": ids[:1] * 510}))


def test_a_long_prompt_is_read_in_parts_while_others_get_their_tokens(llama: Any) -> None:
    running = one(llama, job("a boat", max_new_tokens=30))
    llama.step([running])
    long = one(llama, job(" ".join([WORDS] * 36), 1))
    assert long.prompt_tokens == long.input_tokens > 300

    outcomes = [llama.step([running, long]) for _ in range(4)]

    assert all(outcome[0] is not None for outcome in outcomes), "nobody waits for a prompt to be read"
    read = -(-long.prompt_tokens // 128)
    assert [outcome[1] is None for outcome in outcomes] == [True] * (read - 1) + [False] * (5 - read)


@pytest.mark.parametrize(("most", "parts"), [(1, 1), (16, 16), (10_000, 199), (None, PROMPT_TOKENS)])
def test_a_step_reads_no_more_of_a_prompt_than_it_may_nor_than_is_usual(
    llama: Any, most: int | None, parts: int
) -> None:
    first, long = one(llama, job("once", max_new_tokens=5)), one(llama, job(" ".join([WORDS] * 20), 1))
    assert len(long.ids) > PROMPT_TOKENS + 1
    llama.step([first])
    assert llama.step_tokens([first, long], most) == 1 + parts
    llama.step([first, long], most)
    assert long.cached in (parts, len(long.ids) - 1)
    texts = [first, long]
    assert llama.step_tokens(texts) == 1 + (min(PROMPT_TOKENS, len(long.ids) - parts) if parts < 199 else 1)


def test_a_newcomers_first_token_comes_with_its_first_step(llama: Any) -> None:
    mates = [one(llama, job(WORDS, number, max_new_tokens=40)) for number in range(15)]
    while any(outcome is None for outcome in llama.step(mates)):
        pass
    newcomer = one(llama, job(WORDS, 15))
    assert llama.step([*mates, newcomer])[-1] is not None


# Places


def test_a_text_that_leaves_frees_its_row_and_memory_with_the_next_step(llama: Any) -> None:
    texts = [one(llama, job(WORDS, number, max_new_tokens=60)) for number in range(100)]
    while any(outcome is None for outcome in llama.step(texts)):
        pass
    llama.step(texts)
    row = texts[0].capacity
    assert llama.cache.tokens == -(-len(texts) // ROWS) * ROWS * row == llama.cache_tokens(texts)
    stayed = texts[::10]

    llama.retain(stayed)
    llama.step(stayed)

    assert llama.cache.tokens == -(-len(stayed) // ROWS) * ROWS * row == llama.cache_tokens(stayed)
    assert llama.cache.texts == set(stayed)


def test_texts_that_stay_are_not_changed_by_those_that_leave(llama: Any) -> None:
    def texts() -> list[Any]:
        return [one(llama, job(" ".join(WORDS.split()[: 1 + n % 9]), n, max_new_tokens=70)) for n in range(20)]

    undisturbed = [course.tokens for course in finish(llama, texts())]
    running = dict(enumerate(texts()))
    got: dict[int, list[int]] = {number: [] for number in running}
    for step in range(70):
        if step % 3 == 2 and len(running) > 4:
            del running[sorted(running)[(5 * step) % len(running)]]
        open_ones = {number: text for number, text in running.items() if len(got[number]) < len(undisturbed[number])}
        llama.retain(open_ones.values())
        for number, outcome in zip(open_ones, llama.step(list(open_ones.values())), strict=True):
            if outcome is not None:
                got[number].append(outcome.token)
    for number in running:
        assert got[number] == undisturbed[number][: len(got[number])]
    assert any(len(got[number]) == 70 for number in running)


def test_a_step_that_fails_changes_nothing(llama: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [one(llama, job(WORDS, number)) for number in range(4)]
    expected = [course.tokens for course in finish(llama, [one(llama, job(WORDS, number)) for number in range(4)])]
    courses = [Course() for _ in texts]

    def step(some: Sequence[int]) -> None:
        for number, outcome in zip(some, llama.step([texts[number] for number in some]), strict=True):
            courses[number].made.append(outcome)

    def fail(*_: Any) -> Any:
        raise MemoryError

    step(range(4))
    for _ in range(5):
        with monkeypatch.context() as broken:
            broken.setattr("inference.backends.transformers.generation.generator.sample", fail)
            with pytest.raises(MemoryError):
                llama.step(texts)
        step((0, 1))
        step((2, 3))  # as halves: rows of a block that are not the first ones

    assert [course.tokens for course in courses] == [tokens[:6] for tokens in expected]


# Shared beginnings

LONG = " ".join([WORDS] * 12)


def test_texts_that_begin_equally_are_read_once_and_are_those_of_generate(llama: Any, pipe: Any) -> None:
    """Together, again, in parts, with what was generated, after a crash; and read by nobody else's."""
    prompts = [f"{LONG} {tail}" for tail in ("boat", "river", "a small old river")]
    first = [one(llama, job(prompt, number)) for number, prompt in enumerate(prompts)]
    courses = finish(llama, first)
    for text, course in zip(first, courses, strict=True):
        assert generating.differs(pipe.model, text.ids[: text.prompt_tokens], course.tokens, 12) == ""
    shared = first[1].reused
    assert shared == first[2].reused >= 96 > first[0].reused == 0

    again = [one(llama, job(prompt, number)) for number, prompt in enumerate(prompts)]
    assert [course.tokens for course in finish(llama, again, random.Random(3))] == [course.tokens for course in courses]
    assert all(text.cached_tokens >= shared for text in again)

    resumed = one(llama, job(prompts[0], resume=courses[0].tokens[:5]))
    (course,) = finish(llama, [resumed])
    assert course.tokens == courses[0].tokens[5:]
    assert resumed.reused >= shared

    foreign = one(llama, msgspec.structs.replace(job(prompts[0]), cache_scope="another"))
    (course,) = finish(llama, [foreign])
    assert (course.tokens, foreign.reused) == (courses[0].tokens, 0)

    held = llama.figures.bytes
    assert 0 < held == len(llama.cache.prefixes._used) * llama.cache.prefixes.chunk_bytes


@pytest.mark.parametrize(("settings", "reused"), [({"prefix_cache_mb": 0}, False), ({"shared_prefixes": "on"}, True)])
def test_what_is_kept_of_prompts_is_a_setting(
    folder_of: Callable[[str], Path], settings: dict[str, Any], reused: bool
) -> None:
    made = generator(folder_of("llama"), **settings)
    assert made.figures == (0, 0, 0, 0, 0), "nothing of what the check generated"
    texts = [one(made, msgspec.structs.replace(job(LONG), cache_scope=scope)) for scope in ("one", "two")]
    finish(made, texts)
    assert [text.reused > 0 for text in texts] == [False, reused]


# Resuming


@pytest.mark.parametrize("known", [1, 5, 9])
@pytest.mark.parametrize("sampled", [False, True])
def test_a_text_goes_on_after_what_is_known_of_it(llama: Any, known: int, sampled: bool) -> None:
    parameters: dict[str, Any] = {"do_sample": sampled, "seed": 11, "temperature": 1.5}
    (undisturbed,) = finish(llama, [one(llama, job(WORDS, **parameters))])

    (resumed,) = finish(llama, [one(llama, job(WORDS, resume=undisturbed.tokens[:known], **parameters))])

    assert len(undisturbed.tokens) > known
    assert resumed.made[0].index == known
    assert resumed.tokens == undisturbed.tokens[known:]
    assert [step.text for step in resumed.made] == [step.text for step in undisturbed.made[known:]]
    assert resumed.last.output == undisturbed.last.output


# Ends


def test_a_text_ends_after_a_stop_text_and_keeps_it(llama: Any, pipe: Any) -> None:
    whole = pipe(WORDS, do_sample=False, max_new_tokens=12, return_full_text=False)[0]["generated_text"]
    stop = whole[4:6]

    (course,) = finish(llama, [one(llama, job(WORDS, stop=["never", stop], return_full_text=False))])

    assert course.last.finish_reason == "stop_sequence"
    assert course.text == json.loads(course.last.output)[0]["generated_text"]
    assert whole.startswith(course.text)
    assert stop in course.text
    assert stop not in "".join(step.text for step in course.made[:-1])


def test_a_text_ends_with_the_models_end_token(llama: Any) -> None:
    text = one(llama, job(WORDS))
    first = llama.step([text])[0]
    again = one(llama, job(WORDS))
    again.stop_conditions = type(again.stop_conditions)(new_tokens=12, end_tokens=frozenset([first.token, 1]))

    (course,) = finish(llama, [again])

    assert (course.last.finish_reason, len(course.made)) == ("eos_token", 1)


def test_what_could_never_fit_is_refused(folder_of: Callable[[str], Path]) -> None:
    small = generator(folder_of("llama"), max_batch_tokens=64)
    with pytest.raises(Invalid, match=r"has \d+ tokens and max_new_tokens is 60; together they may be 64"):
        one(small, job(WORDS, max_new_tokens=60))
    assert one(small, job("a", max_new_tokens=40)).capacity <= 64


def test_a_cache_that_holds_one_text_runs_one_after_the_other(folder_of: Callable[[str], Path]) -> None:
    """Also at warm-up, and in the check."""
    said: list[str] = []
    made = generator(folder_of("llama"), report=said.append, max_batch_tokens=64)
    assert "key-value cache of at most 64 tokens, 0 MB" in said
    wanted = [job("a boat", number, max_new_tokens=10 + number) for number in range(3)]
    texts = [one(made, each) for each in wanted]
    assert made.fitting(texts) == texts[:1]
    together = generator(folder_of("llama"))
    courses = finish(together, [one(together, each) for each in wanted])
    assert made.run(texts) == [course.last.output for course in courses]


CHAT = [{"role": "user", "content": "once upon a time"}]
TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
    "{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("prefix", ["", "there was"])
def test_a_chat_goes_through_the_models_template(
    folder_of: Callable[[str], Path], tmp_path: Path, full: bool, prefix: str
) -> None:
    import transformers  # noqa: PLC0415

    folder = shutil.copytree(folder_of("llama"), tmp_path / "chat")
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    made = generator(folder)
    pipe = transformers.pipeline("text-generation", model=str(folder))
    messages = [*CHAT, {"role": "assistant", "content": prefix}] if prefix else CHAT

    (course,) = finish(made, [one(made, job(messages, return_full_text=full))])

    assert made.description.chat
    expected = pipe(messages, do_sample=False, max_new_tokens=12, return_full_text=full)
    assert json.loads(course.last.output) == expected
    with pytest.raises(Invalid, match="chat template does not take these messages: no system here"):
        one(made, job([{"role": "system", "content": "x"}]))


def test_a_chat_with_a_model_that_is_called_as_a_whole(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folder_of("bloom"), tmp_path / "chat")
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    made = backend.load(Conf(model=str(folder), threads=1), lambda progress: None)
    answers = made.run(made.prepare([job(CHAT, max_new_tokens=3)]))
    assert isinstance(answers[0], bytes)
    [answer] = json.loads(answers[0])
    assert [message["role"] for message in answer["generated_text"]] == ["user", "assistant"]
    [refused] = made.prepare([job([{"role": "system", "content": "x"}])])
    assert "no system here" in str(refused)


def configured(folder: Path, target: Path, **settings: Any) -> Path:
    shutil.copytree(folder, target)
    file = target / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    return target


def test_the_models_own_generation_configuration_counts(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    import transformers  # noqa: PLC0415

    settings = {"no_repeat_ngram_size": 1, "min_new_tokens": 3, "max_new_tokens": 9, "eos_token_id": list(range(9))}
    folder = configured(folder_of("llama"), tmp_path / "model", **settings)
    made = generator(folder)
    wanted = Job(id=0, request_id="r", input=WORDS, parameters={"do_sample": False}, time_left_s=9)

    (course,) = finish(made, [one(made, wanted)])

    pipe = transformers.pipeline("text-generation", model=str(folder))
    assert json.loads(course.last.output) == pipe(WORDS, do_sample=False)
    assert len(set(course.tokens)) == len(course.tokens) >= 3


def test_a_configuration_beyond_token_by_token_is_left_to_the_stock_pipeline(
    folder_of: Callable[[str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = configured(folder_of("llama"), tmp_path / "model", num_beams=3)
    made = backend.load(Conf(model=str(folder), threads=1), lambda progress: None)
    assert not made.description.streams
    assert "its generation configuration sets num_beams" in caplog.text


def test_a_model_that_cannot_be_run_like_this_is_called_as_a_whole(
    folder_of: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    made = backend.load(Conf(model=str(folder_of("bloom")), threads=1), lambda progress: None)

    assert not made.description.streams
    assert "generates one text after the other, and does not stream" in caplog.text
    (outcome,) = made.run(made.prepare([job("a boat", max_new_tokens=3)]))
    assert isinstance(outcome, bytes)
    assert json.loads(outcome)[0]["generated_text"].startswith("a boat")
