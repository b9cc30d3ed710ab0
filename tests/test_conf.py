import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any, get_origin

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from environs import Env

from inference import conf
from inference.conf import BUNDLED_MODEL, Conf, expectation, from_env, variable

ORIGINS = "a list of origins such as https://app.example.com or http://localhost:3000, or * alone"
ROOT = Path(__file__).resolve().parent.parent
FIELDS = {f.name: f for f in fields(Conf)}
NUMBERS = [f for f in fields(Conf) if f.type in (int, float)]
WHOLE = [f for f in NUMBERS if f.type is int]
TEXTS = [f for f in fields(Conf) if f.type is str]
CHOICES = [f for f in TEXTS if f.metadata["allowed"]]

Read = Callable[..., Conf]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    """Read an environment without other ``INFERENCE_*`` variables."""

    def read(**variables: str) -> Conf:
        for name in [name for name in os.environ if name.startswith("INFERENCE_")]:
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return from_env(Env())

    return read


def complaint(read: Read, **variables: str) -> str:
    with pytest.raises(ImproperlyConfigured) as raised:
        read(**variables)
    return str(raised.value)


def ids(options: list[Any]) -> list[str]:
    return [option.name for option in options]


def test_nothing_set_gives_the_documented_defaults(read: Read):
    conf = read()
    assert conf.model == BUNDLED_MODEL
    assert (conf.task, conf.revision, conf.device, conf.dtype, conf.threads) == ("", "", "auto", "auto", 0)
    assert (conf.max_batch_size, conf.max_batch_tokens, conf.batch_window_ms) == (32, 16384, 0)
    assert (conf.max_pending, conf.max_inputs) == (512, 128)
    assert (conf.deadline_s, conf.max_deadline_s, conf.drain_s) == (30, 120, 35)
    assert (conf.max_body_bytes, conf.log_inputs) == (1_048_576, "preview")


def test_the_bundled_model_is_there(read: Read):
    assert (Path(read().model) / "config.json").is_file()


@pytest.mark.parametrize("option", NUMBERS, ids=ids(NUMBERS))
@pytest.mark.parametrize("bound", ["low", "high"])
def test_a_bound_itself_is_allowed(read: Read, option, bound: str):
    wanted = getattr(option.metadata["allowed"], bound)
    if option.name == "drain_s" and wanted == 0:
        wanted = 35  # 0 stands for the default
    conf = read(**{variable(option): str(getattr(option.metadata["allowed"], bound))})
    assert getattr(conf, option.name) == wanted


@pytest.mark.parametrize("option", NUMBERS, ids=ids(NUMBERS))
def test_what_is_below_the_bounds_stops_the_start(read: Read, option):
    raw = str(option.metadata["allowed"].low - (1 if option.type is int else 0.0001))
    assert (
        complaint(read, **{variable(option): raw}) == f"{variable(option)} is {raw!r}; it must be {expected(option)}."
    )


@pytest.mark.parametrize("option", NUMBERS, ids=ids(NUMBERS))
def test_what_is_above_the_bounds_stops_the_start(read: Read, option):
    raw = str(option.metadata["allowed"].high + 1)
    assert (
        complaint(read, **{variable(option): raw}) == f"{variable(option)} is {raw!r}; it must be {expected(option)}."
    )


@pytest.mark.parametrize("option", NUMBERS, ids=ids(NUMBERS))
@pytest.mark.parametrize("raw", ["many", "nan", "inf", "-inf", "1,5", "0x10", "5 s", "true"])
def test_what_is_no_number_stops_the_start(read: Read, option, raw: str):
    assert (
        complaint(read, **{variable(option): raw}) == f"{variable(option)} is {raw!r}; it must be {expected(option)}."
    )


@pytest.mark.parametrize("option", WHOLE, ids=ids(WHOLE))
@pytest.mark.parametrize("raw", ["1.5", "2.0", "1e3"])
def test_a_fraction_is_no_whole_number(read: Read, option, raw: str):
    assert "it must be a whole number from" in complaint(read, **{variable(option): raw})


@pytest.mark.parametrize("option", CHOICES, ids=ids(CHOICES))
@pytest.mark.parametrize("raw", ["int4", "AUTO", "none,full"])
def test_a_value_that_is_not_offered_stops_the_start(read: Read, option, raw: str):
    sentence = complaint(read, **{variable(option): raw})
    assert sentence == f"{variable(option)} is {raw!r}; it must be one of {', '.join(option.metadata['allowed'])}."


@pytest.mark.parametrize("option", CHOICES, ids=ids(CHOICES))
def test_every_value_that_is_offered_is_taken(read: Read, option):
    choices = option.metadata["allowed"]
    assert tuple(getattr(read(**{variable(option): choice}), option.name) for choice in choices) == choices


@pytest.mark.parametrize("option", fields(Conf), ids=ids(list(fields(Conf))))
@pytest.mark.parametrize("raw", ["", "  "], ids=["empty", "blank"])
def test_a_variable_without_a_value_means_the_default(read: Read, option, raw: str):
    assert read(**{variable(option): raw}) == read()


def test_blanks_around_a_value_do_not_count(read: Read):
    conf = read(INFERENCE_MODEL=" some/model ", INFERENCE_MAX_BATCH_SIZE=" 8 ", INFERENCE_DTYPE="float16 ")
    assert (conf.model, conf.max_batch_size, conf.dtype) == ("some/model", 8, "float16")


@pytest.mark.parametrize("option", fields(Conf), ids=ids(list(fields(Conf))))
def test_values_have_the_type_that_is_declared(read: Read, option):
    wanted = str if option.name == "pipelines" else option.type  # a dictionary comes from ``settings.INFERENCE`` only
    assert type(getattr(read(), option.name)) is (get_origin(wanted) or wanted)


@pytest.mark.parametrize(
    ("raw", "origins"),
    [
        ("*", ("*",)),
        ("https://app.example.com, http://localhost:3000,", ("https://app.example.com", "http://localhost:3000")),
        ("HTTPS://App.Example.com:443", ("https://app.example.com",)),
        ("http://[::1]:80,http://a:443", ("http://[::1]", "http://a:443")),
        ("chrome-extension://abcdef,capacitor://localhost", ("chrome-extension://abcdef", "capacitor://localhost")),
    ],
)
def test_origins_are_read_as_browsers_send_them(read: Read, settings: Any, raw: str, origins: tuple[str, ...]):
    assert read(INFERENCE_CORS_ORIGINS=raw).cors_origins == origins
    settings.INFERENCE = {"CORS_ORIGINS": raw.split(",")}
    assert conf.current().cors_origins == origins


@pytest.mark.parametrize(
    "raw",
    [
        "app.example.com",
        "https://app.example.com/",
        "https://app.example.com/page",
        "https://*.example.com",
        "https://user@app.example.com",
        "https://",
        "null",
        "*, https://app.example.com",
        "https://a https://b",
    ],
)
def test_what_is_no_origin_stops_the_start(read: Read, settings: Any, raw: str):
    sentence = f"INFERENCE_CORS_ORIGINS is {raw!r}; it must be {ORIGINS}."
    assert complaint(read, INFERENCE_CORS_ORIGINS=raw) == sentence
    settings.INFERENCE = {"CORS_ORIGINS": raw}
    with pytest.raises(ImproperlyConfigured, match=f"^{re.escape(sentence)}$"):
        conf.current()


def test_the_drain_follows_the_deadline(read: Read):
    assert read(INFERENCE_DEADLINE_S="7").drain_s == 12


def test_the_drain_can_be_set(read: Read):
    assert read(INFERENCE_DEADLINE_S="7", INFERENCE_DRAIN_S="3").drain_s == 3


def test_a_conf_cannot_be_changed(read: Read):
    with pytest.raises(FrozenInstanceError):
        read().max_pending = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("max_batch_size", "a whole number from 1 to 4096"),
        ("max_reply_bytes", "a whole number from 1024 to 2147483648"),
        ("deadline_s", "a number from 0.001 to 3600"),
        ("dtype", "one of auto, float32, bfloat16, float16, int8"),
        ("model", "a text"),
        ("pipelines", "the path of a TOML file, or a dictionary of tables"),
        ("cors_origins", ORIGINS),
    ],
)
def test_the_expectation_is_in_words(name: str, words: str):
    assert expectation(FIELDS[name]) == words


def test_a_wrong_value_ends_manage_py_with_one_sentence():
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env=os.environ | {"INFERENCE_MAX_BATCH_SIZE": "0", "DJANGO_SECRET_KEY": "only-for-this-test"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 1
    sentence = "Configuration: INFERENCE_MAX_BATCH_SIZE is '0'; it must be a whole number from 1 to 4096.\n"
    assert (done.stdout, done.stderr) == ("", sentence)


def expected(option) -> str:
    kind = "a whole number" if option.type is int else "a number"
    return f"{kind} from {option.metadata['allowed'].low} to {option.metadata['allowed'].high}"


# As a dictionary, in a project of somebody else


def test_a_dictionary_is_taken_before_the_environment(settings: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INFERENCE_MAX_INPUTS", "7")
    monkeypatch.setenv("INFERENCE_TASK", "fill-mask")
    settings.INFERENCE = {"MAX_INPUTS": 5, "DEADLINE_S": 10, "MODEL": Path("/srv/model")}
    current = conf.current()
    assert (current.max_inputs, current.deadline_s, current.model) == (5, 10.0, "/srv/model")
    assert current.task == "fill-mask"


@pytest.mark.parametrize("given", ["pipelines.toml", {"chat": {"task": "text-generation"}}], ids=str)
def test_pipelines_are_a_path_or_tables(settings: Any, given: Any):
    settings.INFERENCE = {"PIPELINES": given}
    assert conf.current().pipelines == given
    settings.INFERENCE = {"PIPELINES": Path("pipelines.toml")}
    assert conf.current().pipelines == "pipelines.toml"


def test_a_conf_with_tables_can_be_hashed():
    ours, equal, other = ({"chat": {"task": task}} for task in ("fill-mask", "fill-mask", "text-generation"))
    assert hash(Conf(pipelines=ours)) == hash(Conf(pipelines=equal))
    assert len({Conf(pipelines=ours), Conf(pipelines=equal), Conf(pipelines=other)}) == 2


def test_the_environment_names_a_file_of_pipelines(read: Read):
    assert read(INFERENCE_PIPELINES=" pipelines.toml ").pipelines == "pipelines.toml"


def test_it_may_be_overridden(settings: Any):
    settings.INFERENCE = {"MAX_INPUTS": 5}
    assert conf.current().max_inputs == 5
    with override_settings(INFERENCE={"MAX_INPUTS": 6}):
        assert conf.current().max_inputs == 6
    assert conf.current().max_inputs == 5


def test_it_may_be_absent(settings: Any):
    del settings.INFERENCE
    assert conf.current() == conf.from_env(Env())


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"MAX_INPUTS": 0}, "INFERENCE_MAX_INPUTS is 0; it must be a whole number from 1 to 10000."),
        ({"MAX_INPUTS": "5"}, "INFERENCE_MAX_INPUTS is '5'; it must be a whole number from 1 to 10000."),
        ({"MAX_INPUTS": True}, "INFERENCE_MAX_INPUTS is True; it must be a whole number from 1 to 10000."),
        ({"DTYPE": "int4"}, "INFERENCE_DTYPE is 'int4'; it must be one of auto, float32, bfloat16, float16, int8."),
        ({"CORS_ORIGINS": 5}, f"INFERENCE_CORS_ORIGINS is 5; it must be {ORIGINS}."),
        ({"CORS_ORIGINS": [5]}, f"INFERENCE_CORS_ORIGINS is [5]; it must be {ORIGINS}."),
        ({"PIPELINES": 5}, "INFERENCE_PIPELINES is 5; it must be the path of a TOML file, or a dictionary of tables."),
        ({"MODLE": "a"}, "INFERENCE has 'MODLE', but there is no such setting; perhaps 'MODEL' is meant."),
        ({"xyz": "a"}, "INFERENCE has 'xyz', but there is no such setting; known are MODEL, TASK, "),
    ],
    ids=str,
)
def test_a_wrong_dictionary_is_one_sentence(settings: Any, given: dict[str, Any], sentence: str):
    settings.INFERENCE = given
    with pytest.raises(ImproperlyConfigured, match=f"^{re.escape(sentence)}"):
        conf.current()
