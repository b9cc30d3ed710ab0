import re
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from inference import catalog
from inference.catalog import Catalog, PipelineSpec
from inference.conf import Conf

CHAT = PipelineSpec("chat", Conf())
TOPICS = PipelineSpec("topics", Conf(), ("acme/topics", "Acme/Topics-2"))
NESTED = PipelineSpec("acme", Conf(), ("chat/long",))
THREE = Catalog([CHAT, TOPICS, NESTED])


def tables(*names: str) -> dict[str, Any]:
    return {name: {"task": "fill-mask", "model": "owner/name"} for name in names}


def test_it_is_in_the_order_of_the_file():
    assert list(THREE) == [CHAT, TOPICS, NESTED]
    assert THREE.names == ("chat", "topics", "acme")
    assert len(THREE) == 3
    assert repr(THREE) == "<Catalog: chat, topics, acme>"


def test_it_is_never_empty():
    with pytest.raises(ValueError, match=r"^A catalog must have at least one pipeline\.$"):
        Catalog([])


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("chat", CHAT),
        ("topics", TOPICS),
        ("acme/topics", TOPICS),
        ("Acme/Topics-2", TOPICS),
        ("Chat", None),
        ("acme/Topics", None),
        ("", None),
    ],
)
def test_it_finds_names_and_aliases(name: str, found: PipelineSpec | None):
    assert THREE.find(name) is found


def test_the_default_is_the_one_that_is_called_so():
    named = PipelineSpec("default", Conf())
    assert Catalog([CHAT, named]).default is named
    alias = PipelineSpec("other", Conf(), ("default",))
    assert Catalog([CHAT, alias]).default is alias


def test_the_default_is_otherwise_the_first():
    assert THREE.default is CHAT


@pytest.mark.parametrize(
    ("path", "routed"),
    [
        ("chat", (CHAT, "/")),
        ("chat/", (CHAT, "/")),
        ("chat/v1/x", (CHAT, "/v1/x")),
        ("chat/v1/", (CHAT, "/v1/")),
        ("chat//v1", (CHAT, "//v1")),
        ("chat/long", (NESTED, "/")),
        ("chat/long/ws/", (NESTED, "/ws/")),
        ("chat/longer", (CHAT, "/longer")),
        ("acme/topics", (TOPICS, "/")),
        ("acme/topics/", (TOPICS, "/")),
        ("acme/topics/v1/x", (TOPICS, "/v1/x")),
        ("acme/topics2", (NESTED, "/topics2")),
        ("acme", (NESTED, "/")),
        ("chatter", None),
        ("chatter/v1", None),
        ("/chat", None),
        ("other/topics/v1", None),
        ("", None),
        ("/", None),
    ],
)
def test_the_longest_name_at_the_start_of_a_path_wins(path: str, routed: Any):
    assert THREE.route(path) == routed


def test_a_selection_has_the_order_of_the_file():
    selected = THREE.select(["acme", "chat"])
    assert list(selected) == [CHAT, NESTED]
    assert selected.find("topics") is None


def test_a_selection_takes_aliases_and_repetitions():
    assert list(THREE.select(iter(["acme/topics", "topics"]))) == [TOPICS]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "chatt",
            "There is no pipeline 'chatt', perhaps 'chat' is meant; "
            "known are chat, topics, acme/topics, Acme/Topics-2, acme, chat/long.",
        ),
        ("qqq", "There is no pipeline 'qqq'; known are chat, topics, acme/topics, Acme/Topics-2, acme, chat/long."),
    ],
)
def test_a_selection_of_what_does_not_exist_is_one_sentence(name: str, sentence: str):
    with pytest.raises(ImproperlyConfigured, match=f"^{re.escape(sentence)}$"):
        THREE.select(["chat", name])


def test_a_selection_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        THREE.select([])


# That of the settings in force


def test_the_current_one_follows_the_settings(settings: Any):
    settings.INFERENCE = {"PIPELINES": tables("a", "b")}
    assert catalog.current().names == ("a", "b")
    with override_settings(INFERENCE=Conf(pipelines=tables("c"))):
        assert catalog.current().names == ("c",)
    assert catalog.current().names == ("a", "b")


def test_the_current_one_is_read_once(settings: Any, tmp_path: Path):
    file = tmp_path / "pipelines.toml"
    file.write_text('[a]\ntask = "fill-mask"\nmodel = "owner/name"\n')
    settings.INFERENCE = {"PIPELINES": file}
    current = catalog.current()
    file.unlink()
    assert catalog.current() is current
    file.write_text('[b]\ntask = "fill-mask"\nmodel = "owner/name"\n')
    settings.INFERENCE = {"PIPELINES": file}
    assert catalog.current().names == ("b",)


def test_an_error_is_not_kept(settings: Any, tmp_path: Path):
    settings.INFERENCE = {"PIPELINES": tmp_path / "pipelines.toml"}
    with pytest.raises(ImproperlyConfigured):
        catalog.current()
    (tmp_path / "pipelines.toml").write_text('[a]\ntask = "fill-mask"\nmodel = "owner/name"\n')
    assert catalog.current().names == ("a",)
