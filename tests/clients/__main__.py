"""``python -m tests.clients [SCRIPT…]``: client libraries against a server with a tiny model of each task.

Each script here calls one or more of them and ends with an error if something is not as it should be. The server's
address is its last argument. Python scripts run in ``.venv-clients``, others with Node; ``make test-clients`` sets up
both. Then the code on ``docs/clients.md`` is run.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests import every_model, processes, tiny_models
from tests.conftest import client

OF_THEIR_OWN = ("openapi.py", "chats_llama_index.py", "langchain_hub.py")
"""They need another server, or packages that do not go with the others."""
PAGE = "docs/clients.md"
ALIASES = {
    "automatic-speech-recognition": "speech",
    "feature-extraction": "meaning",
    "text-classification": "topics",
    "text-ranking": "ranking",
    "text-to-speech": "voice",
}
"""Names of pipelines on the page."""
BLOCK = re.compile(r"^```(python|js|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FOLDER = Path(__file__).parent
PYTHON = Path(".venv-clients/bin/python").absolute()
SCRIPTS = sorted(
    path.name
    for path in FOLDER.iterdir()
    if path.suffix in (".py", ".mjs") and not path.name.startswith("_") and path.name not in OF_THEIR_OWN
)
OTHERS = """
[table-question-answering]
task = "table-question-answering"
model = "table"
backend = "inference.testing.backend"

[chat]
task = "text-generation"
model = "{chat}"
"""
"""Tables are answered by a fake pipeline; the model of ``chat`` has a chat template."""


def main(scripts: list[str]) -> int:
    path = every_model.catalog(every_model.MODELS)
    tables = path.read_text() + OTHERS.format(chat=_chat(path.parent / "chat"))
    for task, alias in ALIASES.items():
        tables = tables.replace(f"[{task}]\n", f'[{task}]\naliases = ["{alias}"]\n')
    path.write_text(tables)
    failed = 0
    with processes.web(env={"INFERENCE_PIPELINES": str(path), "INFERENCE_THREADS": "1"}) as server:
        processes.wait_until(lambda: not _loading(server), "all models are loaded", 300)
        online = os.environ | {"HF_HUB_OFFLINE": "0"}  # what keeps tests off the network would stop clients, too
        for name, command in _commands(scripts or [*SCRIPTS, PAGE], server.url):
            began = time.monotonic()
            done = subprocess.run(command, check=False, env=online, cwd=FOLDER)
            outcome = "failed" if done.returncode else "passed"
            print(f"{name}: {outcome} in {time.monotonic() - began:.0f} s", flush=True)
            failed += done.returncode != 0
    return failed


def _commands(scripts: list[str], url: str) -> Iterator[tuple[str, list[str]]]:
    for name in scripts:
        if name == PAGE:
            yield from _blocks_of_the_page(url)
        else:
            yield name, [str(PYTHON) if name.endswith(".py") else "node", name, url]


def _blocks_of_the_page(url: str) -> Iterator[tuple[str, list[str]]]:
    """Its code, with the address of the server."""
    page = Path(PAGE).read_text()
    for found in BLOCK.finditer(page):
        language, code = found[1], found[2].replace("localhost:8000", url.removeprefix("http://"))
        name = f"{PAGE}:{page.count(chr(10), 0, found.start()) + 1}"
        if language == "python":
            yield name, [str(PYTHON), "-c", code]
        elif language == "js":
            yield name, ["node", "--input-type=module", "--eval", code]
        else:
            for line in code.splitlines():
                yield name, ["bash", "-c", line.removeprefix("$ ").replace("curl ", "curl --fail-with-body -sS ")]


def _chat(folder: Path) -> Path:
    return tiny_models.gpt2(
        folder, "GPT2LMHeadModel", n_positions=1024, eos_token_id=None, chat_template=tiny_models.CHAT_TEMPLATE
    )


def _loading(server: processes.Web) -> bool:
    with client(server) as http:
        return "loading" in http.get("/health/ready").text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
