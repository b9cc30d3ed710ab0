"""Chats with tools reach the model as its chat template writes them."""

from typing import Any

import pytest

from inference.backends.transformers.generation.generator import Generator
from inference.errors import Invalid
from tests import generating, tiny_models
from tests.generating import finish, job, one

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CHAT = [{"role": "user", "content": "once upon a time"}]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    folder = tmp_path_factory.mktemp("llama")
    tiny_models.decoder(folder, "Llama", 1024, intermediate_size=48)
    (folder / "chat_template.jinja").write_text(tiny_models.CHAT_TEMPLATE)
    return generating.generator(folder)


def prompt(made: Generator, **given: Any) -> list[int]:
    text = one(made, job({"messages": CHAT, "tools": []} | given))
    return text.ids[: text.prompt_tokens]


def test_the_template_has_the_tools(made: Generator) -> None:
    tokenizer = made._pipe.tokenizer
    wanted = tokenizer.apply_chat_template(CHAT, tools=[TOOL], add_generation_prompt=True)["input_ids"]
    assert prompt(made, tools=[TOOL]) == wanted
    without = one(made, job(CHAT))
    assert prompt(made) == without.ids[: without.prompt_tokens] != wanted


def test_the_answer_is_the_text_alone(made: Generator) -> None:
    (course,) = finish(made, [one(made, job({"messages": CHAT, "tools": [TOOL]}))])
    assert course.last.output.startswith(b'[{"generated_text":"')


def test_a_template_without_tools(made: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = "{% for message in messages %}{{ message.content }}{% endfor %}"
    monkeypatch.setattr(made._requests._pipe.tokenizer, "chat_template", plain)
    with pytest.raises(Invalid, match="chat template knows no tools"):
        prompt(made, tools=[TOOL])
    assert prompt(made)
