"""Texts that follow a grammar, of a random model: it writes anything that is allowed."""

import json
import random
import re
from typing import Any

import jsonschema
import pytest
import torch

from inference.backends.base import generated
from inference.backends.transformers.generation.generator import Generator
from inference.backends.transformers.generation.grammar import LIMITS, Grammars
from inference.backends.transformers.generation.sampling import Sampling, SamplingInput, sample
from inference.errors import Invalid
from tests import generating, tiny_models
from tests.generating import Course, finish, job, one
from tests.random_schemas import random_schema

A = "65"
"""The token of this letter."""
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    folder = tmp_path_factory.mktemp("llama")
    return generating.generator(tiny_models.decoder(folder, "Llama", 1024, intermediate_size=48))


def following(schema: Any, **more: Any) -> dict[str, Any]:
    return {"grammar": {"type": "json", "value": schema}, "max_new_tokens": 900, "do_sample": True} | more


def test_texts_follow_their_schemas_beside_others_that_have_none(made: Generator) -> None:
    schemas = [random_schema(random.Random(seed)) for seed in range(12)]
    texts = [one(made, job(number=n, **following(schema, seed=n))) for n, schema in enumerate(schemas)]
    free = [one(made, job(number=20 + n)) for n in range(2)]

    courses = finish(made, [*texts, *free], random.Random(1))

    for schema, course in zip(schemas, courses, strict=False):
        assert course.last.finish_reason == "eos_token", course.text
        jsonschema.validate(json.loads(course.text), schema, jsonschema.Draft202012Validator)
    assert [course.tokens for course in courses[12:]] == [finish(made, [one(made, job())])[0].tokens] * 2


@pytest.mark.parametrize(
    "more",
    [
        {"top_k": 5},
        {"top_p": 0.3},
        {"do_sample": False},
        {"repetition_penalty": 5.0},
        {"temperature": 50.0},
        {"min_new_tokens": 300},
        {"logit_bias": {"0": 100}},
        {"logit_bias": {str(token): -100 for token in range(1, 200)}},
    ],
    ids=str,
)
def test_no_other_parameter_breaks_a_grammar(made: Generator, more: dict[str, Any]) -> None:
    (course,) = finish(made, [one(made, job(**following(PERSON, **more)))])

    assert course.last.finish_reason == "eos_token"
    jsonschema.validate(json.loads(course.text), PERSON)


def test_a_text_that_resumes_goes_on_in_its_grammar(made: Generator) -> None:
    whole = course(made, seed=3)
    for done in range(1, len(whole.tokens), 5):
        rest = course(made, resume=whole.tokens[:done], seed=3)
        assert whole.tokens[:done] + rest.tokens == whole.tokens


def test_a_step_can_be_repeated(made: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    text = one(made, job(**following(PERSON, seed=4)))
    monkeypatch.setattr(generating, "GREEDY", {})
    made.step([text])
    with monkeypatch.context() as broken:
        broken.setattr(made, "_logits", lambda plan: torch.full((1, len(made._pipe.tokenizer)), torch.nan))
        with pytest.raises(ValueError, match="not numbers"):
            made.step([text])

    (rest,) = finish(made, [text])

    assert rest.last.output == course(made, seed=4).last.output


def test_a_regular_expression_and_any_object(made: Generator) -> None:
    grammars = [{"type": "regex", "value": "(yes|no), [0-9]{3}"}, {"type": "json_object"}]
    wanted = [job(**following(None, grammar=grammar, seed=2, max_new_tokens=100)) for grammar in grammars]
    one_text, an_object = finish(made, [one(made, each) for each in wanted])

    assert re.fullmatch("(yes|no), [0-9]{3}", one_text.text)
    assert an_object.text.startswith("{")


def test_a_text_may_end_before_its_json(made: Generator) -> None:
    cut = course(made, max_new_tokens=3)

    assert cut.last.finish_reason == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut.text)


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "strin"}, "Invalid type: strin"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"$ref": "#/$defs/x"}, "/$defs/x"),
        ({"$ref": "http://127.0.0.1:9/x"}, "http://127.0.0.1:9/x"),
        ({"allOf": [{"$ref": "#"}]}, "no text matches"),
        ({"type": "string", "pattern": "("}, "unclosed group"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "nsatisfiable"),
        ({"allOf": [{"type": "string", "pattern": f"^.*[a-c]{{{n}}}.*$"} for n in range(1, 12)]}, "regex"),
    ],
    ids=str,
)
def test_what_no_text_can_follow_is_refused(made: Generator, schema: dict[str, Any], problem: str) -> None:
    with pytest.raises(Invalid, match=re.escape(problem)) as refused:
        one(made, job(**following(schema)))
    assert refused.value.message.startswith("No text can follow this schema or regular expression: ")
    assert "\n" not in refused.value.message


COSTLY = {"type": "string", "pattern": "^(.*a.{30}b.{30}c)+$"}
"""A lexer needs a state for each set of places where an a has been."""


def test_a_grammar_that_needs_too_much_ends_its_text_alone(made: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIMITS, "max_lexer_states", 300)
    texts = [one(made, job(number=n, **following(COSTLY, seed=n, logit_bias={A: 9}))) for n in range(3)]
    running = [*texts, other := one(made, job(number=3, **following(PERSON, seed=4)))]
    ended: dict[Any, Any] = {}
    while running:
        made.retain(running)
        for text, outcome in zip(list(running), made.step(running), strict=True):
            last = outcome if isinstance(outcome, Exception) else next(iter(generated(outcome)[-1:]), None)
            if isinstance(last, Exception) or (last is not None and last.finish_reason):
                ended[text] = last
                running.remove(text)
    made.retain(())

    assert ended[other].output == course(made, seed=4).last.output
    for text in texts:
        assert isinstance(ended[text], Invalid)
        assert "needs too much" in ended[text].message
        assert "states" in ended[text].message


def test_texts_do_not_use_up_what_others_need(made: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of a compiled grammar share the states of its lexer, which are limited."""
    monkeypatch.setitem(LIMITS, "max_lexer_states", 300)
    grammars = Grammars(made._pipe.tokenizer, 0, {0})
    quote, a = (made._pipe.tokenizer.convert_tokens_to_ids(token) for token in '"a')
    early, greedy = (grammars.state({"type": "json", "value": COSTLY}) for _ in range(2))
    before = early.allowed([quote, a], 400)
    written = [quote]
    while not greedy.problem:
        assert greedy.allowed(written, 400).any()
        written.append(random.Random(len(written)).choice([a, a + 1]))

    after = early.allowed([quote, a, a], 400)

    assert not early.problem
    assert after.equal(before)
    assert not grammars.state({"type": "json", "value": COSTLY}).problem


def test_what_processors_forbid_comes_where_nothing_else_may(made: Generator) -> None:
    state = Grammars(made._pipe.tokenizer, 0, {0}).state({"type": "regex", "value": "a"})
    a = made._pipe.tokenizer.convert_tokens_to_ids("a")
    sampling = Sampling(do_sample=True, grammar=state, processors=lambda ids, scores: scores * 0 - torch.inf)

    assert sample(torch.zeros(1, 400), [SamplingInput(sampling, [5, 5], 0)])[0].token == a
    assert sample(torch.zeros(1, 400), [SamplingInput(sampling, [5, 5, a], 1)])[0].token == 0


def course(made: Generator, resume: Any = (), **more: Any) -> Course:
    return finish(made, [one(made, job(resume=resume, **following(PERSON, **more)))])[0]
