"""docs/tasks.md: what it says of each task is what the code says, and its requests are sent."""

import base64
import html
import json
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from inspect import getdoc
from pathlib import Path
from typing import Any

import pytest

from inference import tasks
from inference.tasks import TASKS
from inference.tasks.base import Task
from inference.tasks.media import EXAMPLE_IMAGE, EXAMPLE_RECORDING
from tests import processes
from tests.conftest import client
from tests.processes import ROOT, Web

PAGE = (ROOT / "docs/tasks.md").read_text()
SECTIONS = dict(re.findall(r"^## `([\w-]+)`$\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
FILES = {".jpg": EXAMPLE_IMAGE, ".png": EXAMPLE_IMAGE, ".wav": EXAMPLE_RECORDING}
"""Stand for the files that the requests name, by their ending."""


@pytest.fixture(scope="module")
def every_task() -> Iterator[Web]:
    """A server with a fake pipeline for each task, named like it."""
    path = processes.scratch() / "every_task.toml"
    table = '[{0}]\ntask = "{0}"\nmodel = "{0}"\nbackend = "inference.testing.backend"\n'
    path.write_text("\n".join(map(table.format, TASKS)))
    with processes.web(env={"INFERENCE_PIPELINES": str(path)}) as web:
        web.wait_until_loaded()
        yield web


def test_each_task_has_a_section():
    assert list(SECTIONS) == sorted(TASKS)


@pytest.mark.parametrize("name", TASKS)
def test_the_section_of_a_task_says_what_the_code_says(name: str):
    section = " ".join(SECTIONS[name].split())
    assert f"{first_sentence(TASKS[name])} " in f"{section} "
    assert TASKS[name].summary == first_sentence(TASKS[name])
    for line in parameters(TASKS[name]):
        assert line in SECTIONS[name].splitlines(), line
    rows = [line for line in SECTIONS[name].splitlines() if line.startswith("| `")]
    assert len(rows) == len(TASKS[name].parameters)


@pytest.mark.parametrize("name", TASKS)
def test_the_request_of_a_task_is_answered_like_that(every_task: Web, name: str):
    [block] = re.findall(r"^```console\n(.*?)^```$", SECTIONS[name], re.DOTALL | re.MULTILINE)
    command, _, shown = block.removeprefix("$ ").replace("\\\n", "").partition("\n")
    with client(every_task) as http:
        reply = http.post(f"/pipelines/{name}", **request(command))
    assert reply.status_code == 200, reply.text
    if reply.headers["content-type"] == "application/json":
        check_shape(json.loads(shown), reply.json())
    else:
        assert reply.content
        assert f"({reply.headers['content-type']})" in shown


@pytest.mark.parametrize("name", TASKS)
def test_the_front_page_shows_a_request_that_works(every_task: Web, name: str):
    with client(every_task) as http:
        page = html.unescape(http.get(f"/pipelines/{name}").text)
        shown, *_ = re.findall(r"-d '(.*?)'</pre>", page, re.DOTALL)
        assert len(shown) < 400
        assert ("12.0\xa0MB" in page) == TASKS[name].input.media
        data = EXAMPLE_RECORDING if "speech.wav" in page else EXAMPLE_IMAGE
        reply = http.post(f"/pipelines/{name}", json=json.loads(shown.replace("…base64…", data)))
        assert reply.status_code == 200, reply.text
        for file in re.findall(r"curl --data-binary @(\S+)", page):
            body = base64.b64decode(FILES[Path(file).suffix])
            assert http.post(f"/pipelines/{name}", content=body).status_code == 200


def first_sentence(task: Task) -> str:
    module = import_module(f"{tasks.__name__}.{task.name.replace('-', '_')}")
    sentence = " ".join((getdoc(module) or "").split("\n\n")[0].partition(": ")[2].split())
    return sentence[0].upper() + sentence[1:]


def parameters(task: Task) -> list[str]:
    """The rows of its table."""
    return [
        f"| `{name}` | {parameter.kind}{' (required)' if parameter.required else ''} | {parameter.meaning} |"
        for name, parameter in task.parameters.items()
    ]


def request(command: str) -> dict[str, Any]:
    """What httpx is to send in the place of curl."""
    program, *words = shlex.split(command)
    assert program == "curl"
    assert words.pop(0) == "http://localhost:8000/"
    sent: dict[str, Any] = {"headers": {}}
    while words:
        match words.pop(0), words.pop(0):
            case "--json", body:
                sent["json"] = json.loads(body)
            case "-H", header:
                name, _, value = header.partition(": ")
                sent["headers"][name] = value
            case "--data-binary", body if body.startswith("@"):
                sent["content"] = base64.b64decode(FILES[Path(body).suffix])
            case "-o", _:
                pass
            case "-d", body:
                sent["content"] = body
            case option, _:
                raise AssertionError(option)
    return sent


def check_shape(shown: Any, real: Any) -> None:
    """The same names and types; of lists, the first item counts."""
    assert type(shown) is type(real), (shown, real)
    if isinstance(shown, dict):
        assert shown.keys() == real.keys()
        for name in shown:
            check_shape(shown[name], real[name])
    elif isinstance(shown, list):
        assert bool(shown) == bool(real)
        if shown:
            check_shape(shown[0], real[0])
