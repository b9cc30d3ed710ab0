"""The documentation says what is so: its examples are run, its tables are compared with the code."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from contextlib import nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from inference import conf
from inference.errors import Cancelled, InferenceError
from inference.tasks import TASKS
from tests.conftest import CLIENT_S, client
from tests.processes import ROOT, Web, wait_until
from tests.soak.ledger import COLUMNS
from tests.soak.phases import PHASES

README = (ROOT / "README.md").read_text()
PROTOCOL = (ROOT / "docs/protocol.md").read_text()
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
RELIABILITY = (ROOT / "docs/reliability.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]

pytestmark = pytest.mark.timeout(600)  # the first test that needs a server waits for its start

ANY_TEXT = "…"
CLOSE = 1e-3


def blocks(page: str, kind: str) -> list[str]:
    """The fenced blocks of one kind."""
    return [found.rstrip() for found in re.findall(rf"^```{kind}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)]


def table(page: str, first_header: str) -> list[list[str]]:
    """The cells of the one table whose first column has this header, without its head."""
    rows = [line for line in page.splitlines() if line.startswith("|")]
    start = next(i for i, row in enumerate(rows) if row.startswith(f"| {first_header} |"))
    cells: list[list[str]] = []
    for row in rows[start + 2 :]:
        if row.startswith("|---"):  # the next table's; the row before was its head
            return cells[:-1]
        cells.append([cell.strip() for cell in row.strip("|").split(" | ")])
    return cells


def check_part(shown: Any, real: Any, where: str = "answer") -> None:
    """``real`` has what an example shows: see the top of docs/protocol.md."""
    if isinstance(shown, dict):
        assert isinstance(real, dict), where
        for name, value in shown.items():
            assert name in real, f"{where} has no {name}: {real}"
            check_part(value, real[name], f"{where}.{name}")
    elif isinstance(shown, list):
        assert isinstance(real, list), where
        assert len(real) == len(shown), f"{where} has {len(real)} items"
        for index, value in enumerate(shown):
            check_part(value, real[index], f"{where}[{index}]")
    elif isinstance(shown, float):
        assert real == pytest.approx(shown, abs=CLOSE), where
    elif shown == ANY_TEXT:
        assert isinstance(real, str), where
        assert real, where
    else:
        assert real == shown, where


# docs/protocol.md


@dataclass(frozen=True)
class HttpExample:
    method: str
    path: str
    headers: dict[str, str]
    body: str
    status: int
    answer_headers: dict[str, str]
    answer: Any

    @classmethod
    def parse(cls, block: str) -> "HttpExample":
        request, status, answer = re.split(r"^--- (\d+)$", block, maxsplit=1, flags=re.MULTILINE)
        line, _, rest = request.partition("\n")
        method, path = line.split()
        headers, body = cls._headers_and_body(rest)
        answer_headers, shown = cls._headers_and_body(answer.removeprefix("\n"))
        return cls(method, path, headers, body, int(status), answer_headers, content(shown))

    @staticmethod
    def _headers_and_body(text: str) -> tuple[dict[str, str], str]:
        head, _, body = text.partition("\n") if text.startswith("\n") else text.partition("\n\n")
        return dict(line.split(": ", 1) for line in head.splitlines()), body.strip("\n")


def content(text: str) -> Any:
    """JSON, or a list of it for server-sent events."""
    if text.startswith("data: "):
        return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line]
    return json.loads(text)


HTTP_EXAMPLES = [HttpExample.parse(block) for block in blocks(PROTOCOL, "http-example")]
HTTP_STREAM_EXAMPLES = [HttpExample.parse(block) for block in blocks(PROTOCOL, "http-stream-example")]
SOCKET_EXAMPLES = blocks(PROTOCOL, "ws-example")
SOCKET_STREAM_EXAMPLES = blocks(PROTOCOL, "ws-stream-example")


def http_ids(examples: list[HttpExample]) -> list[str]:
    return [f"{n} {e.method} {e.status}" for n, e in enumerate(examples)]


def socket_ids(examples: list[str]) -> list[str]:
    return [example.splitlines()[0][2:50] for example in examples]


def test_every_example_is_found() -> None:
    assert len(HTTP_EXAMPLES) == PROTOCOL.count("\n```http-example\n") > 10
    assert len(HTTP_STREAM_EXAMPLES) == PROTOCOL.count("\n```http-stream-example\n") > 2
    assert len(SOCKET_EXAMPLES) == PROTOCOL.count("\n```ws-example\n") > 5
    assert len(SOCKET_STREAM_EXAMPLES) == PROTOCOL.count("\n```ws-stream-example\n") > 1


@pytest.mark.parametrize("example", HTTP_EXAMPLES, ids=http_ids(HTTP_EXAMPLES))
def test_http_example(server: Web, example: HttpExample) -> None:
    run_http(server, example)


@pytest.mark.parametrize("example", HTTP_STREAM_EXAMPLES, ids=http_ids(HTTP_STREAM_EXAMPLES))
def test_http_stream_example(generating: Web, example: HttpExample) -> None:
    run_http(generating, example)


@pytest.mark.parametrize("example", SOCKET_EXAMPLES, ids=socket_ids(SOCKET_EXAMPLES))
def test_socket_example(server: Web, example: str) -> None:
    run_socket(server, example)


@pytest.mark.parametrize("example", SOCKET_STREAM_EXAMPLES, ids=socket_ids(SOCKET_STREAM_EXAMPLES))
def test_socket_stream_example(generating: Web, example: str) -> None:
    run_socket(generating, example)


def run_http(server: Web, example: HttpExample) -> None:
    with client(server) as http:
        reply = http.request(example.method, example.path, headers=example.headers, content=example.body.encode())

    assert reply.status_code == example.status, reply.text
    for name, value in example.answer_headers.items():
        check_part(value, reply.headers[name], name)
    check_part(example.answer, content(reply.text))


def run_socket(server: Web, example: str) -> None:
    passing = 3 if '"stream": true' in example else 0  # calls of the model, for the tokens that it shows
    held = server.hold(after=passing) if '"cancel"' in example else nullcontext()  # or it might be answered before
    with held, connect(server.socket_url, proxy=None) as socket:
        for line in example.splitlines():
            direction, _, frame = line.partition(" ")
            if direction == ">":
                socket.send(frame)
                continue
            assert direction == "<", line
            shown = json.loads(frame)
            real = json.loads(socket.recv(timeout=CLIENT_S))
            while real["type"] in ("started", "token") and shown["type"] != real["type"]:  # cancelled too late for this
                real = json.loads(socket.recv(timeout=CLIENT_S))
            check_part(shown, real, "frame")


def test_the_error_table_is_that_of_the_code() -> None:
    documented = {
        (int(status), code.strip("`"), not again.startswith("no"))
        for status, code, _, again in table(PROTOCOL, "Status")
    }
    kinds: list[type[InferenceError]] = [InferenceError, *InferenceError.__subclasses__()]
    assert documented == {(kind.status, kind.code, kind.retryable) for kind in kinds if kind is not Cancelled}


# README.md


def test_the_first_request(http: httpx.Client) -> None:
    command, _, answer = next(b for b in blocks(README, "console") if b.startswith("$ curl")).partition("\n")
    program, *options, url = shlex.split(command.removeprefix("$ "))
    assert [program, *options[:3], url] == ["curl", "-X", "POST", "-d", "http://localhost:8000/"]

    reply = http.post("/", content=options[3], headers={"content-type": "application/x-www-form-urlencoded"})

    shown = json.loads(answer)
    check_part(shown, reply.json())
    assert [list(entry) for entry in reply.json()] == [list(entry) for entry in shown], "fields in this order"


def test_the_other_requests(http: httpx.Client) -> None:
    requests = [b for b in blocks(README, "console") if b.startswith("$ curl")][1:]
    assert len(requests) == 3
    for block in requests:
        command, _, answer = re.sub(r"\\\n\s*", "", block).partition("\n")
        options = shlex.split(command.removeprefix("$ "))
        content_type = "application/json" if "-H" in options else "application/x-www-form-urlencoded"

        reply = http.post("/", content=options[options.index("-d") + 1], headers={"content-type": content_type})

        check_part(json.loads(answer), reply.json())


def test_the_socket_script_runs_as_it_is(server: Web, tmp_path: Path) -> None:
    (script,) = (block for block in blocks(README, "python") if "websockets" in block)
    address = "ws://localhost:8000/ws/"
    assert script.count(address) == 1
    path = tmp_path / "client.py"
    path.write_text(script.replace(address, server.socket_url))

    ran = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=CLIENT_S, check=False)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("accepted ") == 2
    assert "result test [MASK] [{'score': 0.95" in ran.stdout
    assert "result The sky is [MASK]. [{'score': " in ran.stdout


def test_the_streaming_script_runs_as_it_is(generating_embedded: Web, tmp_path: Path) -> None:
    (script,) = (block for block in blocks(README, "python") if "InferenceClient" in block)
    assert script.count("http://localhost:8000") == 1
    path = tmp_path / "client.py"
    path.write_text(script.replace("http://localhost:8000", generating_embedded.url))

    environment = {**os.environ, "HF_HUB_OFFLINE": "0", "no_proxy": "*"}
    ran = subprocess.run([sys.executable, path], env=environment, capture_output=True, timeout=CLIENT_S, check=False)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout
    wait_until(lambda: generating_embedded.rows("preview = 'Once upon a time' AND status = 'ok'"), "it is in the log")


def test_the_settings_table_is_that_of_the_code() -> None:
    documented = {row[0].strip("`"): row[1:4] for row in table(README, "Variable")}
    assert list(documented) == [conf.variable(option) for option in fields(conf.Conf)]
    for option in fields(conf.Conf):
        default, must_be, meaning = documented[conf.variable(option)]
        assert default == option.metadata["shown"], option.name
        assert must_be == conf.expectation(option), option.name
        assert meaning.startswith(option.metadata["help"]), option.name


def test_the_site_table_is_that_of_the_code() -> None:
    (section,) = re.findall(r"^Django's own settings:$(.*?)^## ", README, re.DOTALL | re.MULTILINE)
    source = (ROOT / "inferencesite/settings.py").read_text()
    read = set(re.findall(r'\b(?:env\.\w+|hosts|switch|chosen)\("(\w+)"', source))
    assert {row[0].strip("`") for row in table(section, "Variable")} == read


def test_the_task_table_is_that_of_the_code() -> None:
    documented = {}
    for names, parameters, _ in table(README, "Task"):
        name, *aliases = re.findall(r"`([\w-]+)`", names)
        documented[name] = (tuple(aliases), re.findall(r"`([\w-]+)`", parameters))
    assert documented == {name: (task.aliases, list(task.parameters)) for name, task in TASKS.items()}


def test_make_knows_the_targets() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`make ([a-z-]+)", README + ARCHITECTURE)) | {"serve", "test", "check"}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


# docs/reliability.md


def test_the_phases_are_those_of_the_chaos_run() -> None:
    documented = [row[0].strip("`") for row in table(RELIABILITY, "Phase")]
    assert documented == list(PHASES)
    of_promises = " ".join(row[2] for row in table(RELIABILITY, "Promise"))
    assert set(re.findall(r"`(\w+)`", of_promises)) <= set(PHASES)


def test_every_outcome_of_the_ledger_is_explained() -> None:
    documented = {row[0] for row in table(RELIABILITY, "In the ledger")}
    assert documented == {str(column) for column in COLUMNS}


# docs/architecture.md


def test_the_packages_are_those_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    checked = [set(re.findall(r"\w+", layer)) for layer in contracts[0]["layers"]]
    rows = table(ARCHITECTURE, "Packages and modules of `inference`")
    assert [set(re.findall(r"`(\w+)`", row[0])) for row in rows] == checked


def test_every_rule_that_comments_name_is_there() -> None:
    rules = {int(row[0]) for row in table(ARCHITECTURE, "Rule")}
    assert rules == set(range(1, 21))
    assert "\n## The protocol between web and worker\n" in ARCHITECTURE


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_is_named_exists(page: Path) -> None:
    text = page.read_text()
    named = re.findall(r"`((?:inference|inferencesite|tests|docs)/[\w./-]*)`", text)
    named += re.findall(r"^((?:inference|inferencesite)/[\w./-]*)\s", text, re.MULTILINE)
    missing = [name for name in named if not (ROOT / name).exists()]
    linked = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    missing += [link for link in linked if not (page.parent / link).exists()]
    assert not missing
    assert page.name != "architecture.md" or len(named) > 25


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_section_that_is_linked_exists(page: Path) -> None:
    for link, section in re.findall(r"\]\(([^)\s:]*)#([^)\s]+)\)", page.read_text()):
        target = (page.parent / link).read_text() if link else page.read_text()
        headings = re.findall(r"^#+ (.+)$", target, re.MULTILINE)
        assert section in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
