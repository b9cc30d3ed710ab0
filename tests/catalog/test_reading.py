import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from inference import catalog
from inference.catalog import KEYS, RESERVED, Catalog
from inference.conf import BUNDLED_MODEL, Conf
from inference.tasks import TASKS
from tests.processes import ROOT

PAGE = (ROOT / "docs/pipelines.md").read_text()
TASK_NAMES = ", ".join(TASKS)
RIGHT: dict[str, Any] = {"task": "fill-mask", "model": "owner/name"}
NAMES = "it must be 1 to 64 of a-z, 0-9, dot, underscore and hyphen, and not only one or two dots."
ALIASES = (
    "it must be one name, or two with a slash between them, each of 1 to 64 letters, digits, dots, underscores and "
    "hyphens, and not only one or two dots."
)
NO_RESERVED = f"which is reserved for paths of the server; it must have none of {', '.join(RESERVED)}."
MUST_BE_FILE = "it must be the path of a TOML file with a table for each pipeline."
MUST_HAVE_TABLES = "it must have a table for each pipeline, such as [chat] with task and model."
CHAT = "pipelines.toml, table [chat]"

Read = Callable[[str], Catalog]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Read a file of this content."""
    monkeypatch.chdir(tmp_path)

    def read(content: str) -> Catalog:
        Path("pipelines.toml").write_text(content)
        return catalog.of(Conf(pipelines="pipelines.toml"))

    return read


def of_tables(tables: Any, **deployment: Any) -> Catalog:
    return catalog.of(Conf(pipelines=tables, **deployment))


def complaint(call: Callable[..., Catalog], *given: Any) -> str:
    with pytest.raises(ImproperlyConfigured) as raised:
        call(*given)
    return str(raised.value)


# What is right


def test_without_a_file_there_is_one_pipeline():
    (only,) = catalog.of(Conf(max_pending=7))
    assert (only.name, only.aliases, only.weight, only.where) == ("default", (), 1.0, "")
    assert only.conf == Conf(max_pending=7)


@pytest.mark.parametrize(("given", "known"), [("sentiment-analysis", "text-classification"), ("other", "other")])
def test_the_task_of_the_only_pipeline_is_the_canonical_one_where_it_is_known(given: str, known: str):
    assert catalog.of(Conf(task=given)).default.conf == Conf(task=known)


def test_a_file_names_several(read: Read):
    chat, topics = read(
        """
        [chat]
        task = "text-generation"
        model = "HuggingFaceTB/SmolLM2-135M-Instruct"
        revision = "12fd25f"
        [topics]
        task = "sentiment-analysis"
        model = "/srv/models/topics"
        aliases = ["acme/topics", "Topics"]
        max_batch_size = 64
        batch_window_ms = 2
        weight = 2
        """
    )
    assert (chat.name, chat.where) == ("chat", "pipelines.toml, table [chat]")
    assert chat.conf == Conf(task="text-generation", model="HuggingFaceTB/SmolLM2-135M-Instruct", revision="12fd25f")
    assert (topics.name, topics.aliases, topics.weight) == ("topics", ("acme/topics", "Topics"), 2.0)
    assert topics.conf == Conf(
        task="text-classification", model="/srv/models/topics", max_batch_size=64, batch_window_ms=2.0
    )
    assert type(topics.weight) is type(topics.conf.batch_window_ms) is float


def test_a_dictionary_names_several(tmp_path: Path):
    (chat,) = of_tables({"chat": RIGHT | {"model": tmp_path, "aliases": ("acme/chat",)}})
    assert (chat.conf.model, chat.aliases, chat.where) == (
        str(tmp_path),
        ("acme/chat",),
        "INFERENCE['PIPELINES']['chat']",
    )


def test_a_table_has_the_settings_of_the_deployment_that_it_does_not_set():
    deployment: dict[str, Any] = {"device": "cuda", "max_pending": 9, "deadline_s": 5.0, "backend": "some.backend"}
    (chat,) = of_tables({"chat": RIGHT | {"max_pending": 10}}, **deployment)
    assert chat.conf == Conf(**RIGHT | deployment | {"max_pending": 10})


def test_task_model_and_revision_of_the_deployment_are_not_those_of_a_table():
    own: dict[str, Any] = {"task": "text-generation", "model": "other/name", "revision": "main"}
    assert of_tables({"chat": RIGHT}, **own).default.conf == Conf(**RIGHT)
    assert complaint(lambda: of_tables({"chat": {}}, **own)).startswith("INFERENCE['PIPELINES']['chat'] has no task")
    assert "has no model" in complaint(lambda: of_tables({"chat": {"task": "fill-mask"}}, **own))


def test_a_table_may_set_what_differs_between_pipelines():
    assert set(KEYS) == {
        *("task", "model", "aliases", "weight", "revision", "device", "dtype", "max_batch_size", "max_batch_tokens"),
        *(
            "prefix_cache_mb",
            "shared_prefixes",
            "speculation",
            "draft_model",
            "draft_revision",
            "batch_window_ms",
            "max_pending",
            "max_audio_s",
            "backend",
        ),
    }
    assert [f.name for f in fields(Conf) if f.metadata["per_pipeline"] and f.name not in KEYS] == []


@pytest.mark.parametrize("name", ["a", "0", "-", "qwen2.5_7b-it", "x" * 64, "...", "default", "v3"])
def test_a_name_may_be(name: str):
    assert of_tables({name: RIGHT}).names == (name,)


@pytest.mark.parametrize("alias", ["A", "Qwen/Qwen2.5-7B", f"{'x' * 64}/{'y' * 64}", "default", "..."])
def test_an_alias_may_be(alias: str):
    assert of_tables({"chat": RIGHT | {"aliases": [alias]}}).find(alias) is not None


@pytest.mark.parametrize(
    ("task", "canonical"), [(name, task.name) for task in TASKS.values() for name in (task.name, *task.aliases)]
)
def test_tasks_have_their_canonical_names(task: str, canonical: str):
    assert of_tables({"chat": RIGHT | {"task": task}}).default.conf.task == canonical


@pytest.mark.parametrize("weight", [0.01, 1, 100])
def test_a_bound_of_the_weight_is_allowed(weight: float):
    assert of_tables({"chat": RIGHT | {"weight": weight}}).default.weight == weight


def test_a_folder_beside_the_file_is_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "conf/models/topics").mkdir(parents=True)
    (tmp_path / "conf/models/a-file").touch()
    (tmp_path / "conf/models/chat.gguf").touch()
    models = {"a": "models/topics", "b": "./models/topics", "c": "models/a-file", "d": "owner/name", "e": "n" * 300}
    models["f"] = "models/chat.gguf"
    content = "\n".join(f'[{name}]\ntask = "fill-mask"\nmodel = "{model}"' for name, model in models.items())
    (tmp_path / "conf/pipelines.toml").write_text(content)
    monkeypatch.chdir(tmp_path)
    beside = str(tmp_path / "conf/models/topics")
    for file in ("conf/pipelines.toml", str(tmp_path / "conf/pipelines.toml")):
        found = [pipeline.conf.model for pipeline in catalog.of(Conf(pipelines=file))]
        assert found == [beside, beside, "models/a-file", "owner/name", "n" * 300, f"{beside[:-6]}chat.gguf"]


def test_it_imports_no_model_library():
    code = "import sys, inference.catalog; print({'torch', 'transformers', 'django.db.models'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


# What is not


def test_a_file_that_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert complaint(catalog.of, Conf(pipelines="a.toml")) == (
        f"INFERENCE_PIPELINES is 'a.toml', and {tmp_path}/a.toml cannot be read (No such file or directory); "
        f"{MUST_BE_FILE}"
    )


def test_a_file_that_cannot_be_read(tmp_path: Path):
    assert complaint(catalog.of, Conf(pipelines=str(tmp_path))) == (
        f"INFERENCE_PIPELINES is '{tmp_path}', and {tmp_path} cannot be read (Is a directory); {MUST_BE_FILE}"
    )


def test_a_path_that_is_none():
    assert complaint(catalog.of, Conf(pipelines="/a\0b")) == (
        f"INFERENCE_PIPELINES is '/a\\x00b', and /a\0b cannot be read (embedded null byte); {MUST_BE_FILE}"
    )


def test_a_file_that_is_not_utf_8(tmp_path: Path):
    file = tmp_path / "a.toml"
    file.write_bytes(b"[\xff]")
    assert complaint(catalog.of, Conf(pipelines=str(file))) == (
        f"{file} is no TOML (it is not UTF-8); {MUST_HAVE_TABLES}"
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            "chat: yes",
            "pipelines.toml is no TOML (Expected '=' after a key in a key/value pair (at line 1, column 5)); "
            + MUST_HAVE_TABLES,
        ),
        (
            "[chat]\n[chat]",
            f"pipelines.toml is no TOML (Cannot declare ('chat',) twice (at line 2, column 6)); {MUST_HAVE_TABLES}",
        ),
        (
            "# nothing\n",
            "pipelines.toml has no table; it must have one for each pipeline, such as 'chat' with task and model.",
        ),
        (
            'task = "fill-mask"\n',
            "pipelines.toml: 'task' is 'fill-mask'; it must be the table of a pipeline, with task and model.",
        ),
        (
            '[qwen2.5]\ntask = "fill-mask"\n',
            "pipelines.toml, table [qwen2] has '5', but a table has no tables; "
            'a name with a dot must be in quotes, such as ["qwen2.5"].',
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(read: Read, content: str, sentence: str):
    assert complaint(read, content) == sentence


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            "modle = 1",
            f"{CHAT} has 'modle', but there is no such setting of a pipeline; perhaps 'model' is meant.",
        ),
        ("MODEL = 1", f"{CHAT} has 'MODEL', but there is no such setting of a pipeline; perhaps 'model' is meant."),
        ("qq = 1", f"{CHAT} has 'qq', but there is no such setting of a pipeline; known are {', '.join(KEYS)}."),
        (
            "deadline_s = 1",
            f"{CHAT} has 'deadline_s', but that is a setting of all pipelines together; "
            "it must be set as INFERENCE_DEADLINE_S.",
        ),
        ('task = ""', f"{CHAT} has no task; it must have one of {TASK_NAMES}."),
        ("task = 1", f"{CHAT}: task is 1; it must be a text."),
        (
            'task = "fill-maks"',
            f"{CHAT}: task is 'fill-maks'; it must be one of {TASK_NAMES}; perhaps 'fill-mask' is meant.",
        ),
        (
            'task = "sentiment-analysys"',
            f"{CHAT}: task is 'sentiment-analysys'; it must be one of {TASK_NAMES}; "
            "perhaps 'sentiment-analysis' is meant.",
        ),
        ('task = "qq"', f"{CHAT}: task is 'qq'; it must be one of {TASK_NAMES}."),
        ('model = " "', f"{CHAT} has no model; it must have one, as a Hub id such as owner/name, or as a folder."),
        ("model = true", f"{CHAT}: model is True; it must be a text."),
        ("revision = 12", f"{CHAT}: revision is 12; it must be a text."),
        ('dtype = "int4"', f"{CHAT}: dtype is 'int4'; it must be one of auto, float32, bfloat16, float16, int8."),
        ("max_batch_size = 0", f"{CHAT}: max_batch_size is 0; it must be a whole number from 1 to 4096."),
        ("max_batch_size = 1.0", f"{CHAT}: max_batch_size is 1.0; it must be a whole number from 1 to 4096."),
        ("batch_window_ms = nan", f"{CHAT}: batch_window_ms is nan; it must be a number from 0 to 60000."),
        ('batch_window_ms = "1"', f"{CHAT}: batch_window_ms is '1'; it must be a number from 0 to 60000."),
        ("weight = 0", f"{CHAT}: weight is 0; it must be a number from 0.01 to 100."),
        ("weight = 100.5", f"{CHAT}: weight is 100.5; it must be a number from 0.01 to 100."),
        ("weight = true", f"{CHAT}: weight is True; it must be a number from 0.01 to 100."),
        ('aliases = "a/b"', f"{CHAT}: aliases is 'a/b'; it must be a list of texts."),
        ("aliases = [1]", f"{CHAT}: aliases is [1]; it must be a list of texts."),
        (
            'aliases = ["chat"]',
            f"{CHAT}: the alias 'chat' is a name or alias of 'chat' already; names and aliases must differ.",
        ),
        (
            'aliases = ["a", "a"]',
            f"{CHAT}: the alias 'a' is a name or alias of 'chat' already; names and aliases must differ.",
        ),
        (
            'aliases = ["topics"]',
            f"{CHAT}: the alias 'topics' is a name or alias of 'topics' already; names and aliases must differ.",
        ),
        (
            'aliases = ["acme/topics"]',
            "pipelines.toml, table [topics]: the alias 'acme/topics' is a name or alias of 'chat' already; "
            "names and aliases must differ.",
        ),
    ],
    ids=lambda value: value if " = " in value else "",
)
def test_what_is_wrong_with_a_table_is_one_sentence(read: Read, changed: str, sentence: str):
    lines = {"task": 'task = "fill-mask"', "model": 'model = "owner/name"'} | {changed.partition(" ")[0]: changed}
    topics = '[topics]\ntask = "fill-mask"\nmodel = "owner/name"\naliases = ["acme/topics"]'
    assert complaint(read, "\n".join(["[chat]", *lines.values(), topics])) == sentence


@pytest.mark.parametrize("missing", ["task", "model"])
def test_a_table_has_a_task_and_a_model(missing: str):
    table = {key: value for key, value in RIGHT.items() if key != missing}
    assert complaint(of_tables, {"chat": table}).startswith(
        f"INFERENCE['PIPELINES']['chat'] has no {missing}; it must have one"
    )


@pytest.mark.parametrize("name", ["Chat", "a b", "a/b", "", ".", "..", "x" * 65, "ä", "chat\n"])
def test_what_cannot_be_a_name(name: str):
    where = f"INFERENCE['PIPELINES'][{name!r}]"
    assert complaint(of_tables, {name: RIGHT}) == f"{where}: {name!r} cannot be the name of a pipeline; {NAMES}"


def test_a_name_is_a_text():
    sentence = f"INFERENCE['PIPELINES'][1]: 1 cannot be the name of a pipeline; {NAMES}"
    assert complaint(of_tables, {1: RIGHT}) == sentence


def test_a_table_of_a_file_has_its_name_in_brackets(read: Read):
    assert complaint(read, "[Chat]") == (
        f"pipelines.toml, table [Chat]: 'Chat' cannot be the name of a pipeline; {NAMES}"
    )


@pytest.mark.parametrize("alias", ["", "/", "a/", "/a", "a/b/c", "a b", "..", "a/..", "./a", "x" * 65, "é", "a\n"])
def test_what_cannot_be_an_alias(alias: str):
    assert complaint(of_tables, {"chat": RIGHT | {"aliases": [alias]}}) == (
        f"INFERENCE['PIPELINES']['chat']: {alias!r} cannot be an alias; {ALIASES}"
    )


@pytest.mark.parametrize("segment", RESERVED)
def test_a_segment_of_the_servers_own_paths_is_reserved(segment: str):
    assert complaint(of_tables, {segment: RIGHT}) == (
        f"INFERENCE['PIPELINES'][{segment!r}]: {segment!r} has {segment!r}, {NO_RESERVED}"
    )
    for alias, part in [(segment.upper(), segment.upper()), (f"acme/{segment}", segment), (f"{segment}/x", segment)]:
        assert complaint(of_tables, {"chat": RIGHT | {"aliases": [alias]}}) == (
            f"INFERENCE['PIPELINES']['chat']: {alias!r} has {part!r}, {NO_RESERVED}"
        )


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        (
            {},
            "INFERENCE['PIPELINES'] has no table; "
            "it must have one for each pipeline, such as 'chat' with task and model.",
        ),
        (
            {"chat": "owner/name"},
            "INFERENCE['PIPELINES']: 'chat' is 'owner/name'; it must be the table of a pipeline, with task and model.",
        ),
        (
            {"chat": RIGHT | {1: 2}},
            "INFERENCE['PIPELINES']['chat'] has 1, but there is no such setting of a pipeline; "
            f"known are {', '.join(KEYS)}.",
        ),
        (
            {"chat": RIGHT | {"weight": 10**400}},
            f"INFERENCE['PIPELINES']['chat']: weight is {10**400}; it must be a number from 0.01 to 100.",
        ),
    ],
    ids=["empty", "no table", "a key that is no text", "a number that is too large"],
)
def test_what_is_wrong_with_a_dictionary_is_one_sentence(tables: Any, sentence: str):
    assert complaint(of_tables, tables) == sentence


# docs/pipelines.md


def test_the_examples_of_the_documentation_are_right(read: Read):
    examples = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert examples
    assert all(len(read(example)) > 1 for example in examples)


def test_the_documentation_has_every_key():
    section = PAGE.partition("## The catalog")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert [name for row in rows for name in re.findall(r"`([a-z_]+)`", row.split("|")[1])] == list(KEYS)


def test_the_documentation_has_every_reserved_segment():
    assert all(f"`{segment}`" in PAGE for segment in RESERVED)


def test_the_bundled_model_may_be_named():
    spec = of_tables({"masks": RIGHT | {"model": BUNDLED_MODEL}}).default
    assert replace(spec.conf, task="") == Conf()
