import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from inference.api.dialects.base import Head
from inference.api.dialects.openai import DIALECT
from inference.api.dialects.openai.errors import InvalidField, ModelNotFound
from inference.api.dialects.openai.models import ModelList, OneModel, asked_pipeline

Heads = Callable[..., Head]


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("chat", "chat"),
        ("acme/chat", "chat"),
        ("acme/means-1b", "meaning"),
        ("dummy", "chat"),
        (None, "chat"),
        ("http://localhost:8000/pipelines/meaning", "chat"),
        ("https://example.org", "chat"),
    ],
)
def test_a_model_is_a_name_an_alias_an_id_or_the_default(deployment: Any, head: Heads, model: str | None, name: str):
    assert asked_pipeline(head(), model, deployment).name == name


@pytest.mark.parametrize("model", ["gpt-4o", 7, None])
def test_in_a_pipelines_path_the_model_is_ignored(deployment: Any, head: Heads, model: Any):
    assert asked_pipeline(head(pipeline="meaning"), model, deployment).name == "meaning"


def test_an_unknown_model_is_refused_with_the_names_of_the_others(deployment: Any, head: Heads):
    with pytest.raises(ModelNotFound) as refused:
        asked_pipeline(head(), "gpt-4o", deployment)
    assert refused.value.message == "There is no model 'gpt-4o' here; known are chat, meaning."
    assert (refused.value.code, refused.value.status, refused.value.param) == ("model_not_found", 404, "model")
    with pytest.raises(InvalidField, match="'model' is a list; it must be the name of a pipeline"):
        asked_pipeline(head(), ["chat"], deployment)


def card(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "inference"}


@pytest.mark.parametrize(("pipeline", "names"), [(None, ["chat", "meaning"]), ("meaning", ["meaning"])])
def test_the_list_has_all_pipelines_or_the_one_of_the_path(
    deployment: Any, head: Heads, pipeline: str | None, names: list[str]
):
    reply = ModelList().answer(head(pipeline=pipeline), deployment)
    assert json.loads(reply.body) == {"object": "list", "data": [card(name) for name in names]}


def test_what_is_not_ready_says_so(deployment: Any, head: Heads, monkeypatch: pytest.MonkeyPatch):
    states = [SimpleNamespace(name="chat", state="ready"), SimpleNamespace(name="meaning", state="unloaded")]
    monkeypatch.setattr(deployment, "states", lambda: states)
    reply = ModelList().answer(head(), deployment)
    assert json.loads(reply.body)["data"] == [card("chat"), card("meaning") | {"state": "unloaded"}]


@pytest.mark.parametrize("arguments", [{"model": "meaning"}, {"owner": "acme", "model": "means-1b"}])
def test_one_model_is_found_by_whatever_means_it(deployment: Any, head: Heads, arguments: dict[str, str]):
    reply = OneModel("").answer(head(**arguments), deployment)
    assert json.loads(reply.body) == card("meaning")


def test_a_model_may_have_a_slash_in_the_path():
    assert [resource.path for resource in DIALECT.resources][1:] == ["/v1/models/{model}", "/v1/models/{owner}/{model}"]
