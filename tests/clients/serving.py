"""``python -m tests.clients.serving COMMAND…``: run a client's script against a server with a model of each task.

The address of the server is the last argument of the command. Tables are answered by a fake pipeline.
"""

import os
import subprocess
import sys

from tests import every_model, processes
from tests.conftest import client

TABLE = """
[table-question-answering]
task = "table-question-answering"
model = "table"
backend = "inference.testing.backend"
"""


def main(command: list[str]) -> int:
    path = every_model.catalog(every_model.MODELS)
    path.write_text(path.read_text() + TABLE)
    with processes.web(env={"INFERENCE_PIPELINES": str(path), "INFERENCE_THREADS": "1"}) as server:
        processes.wait_until(lambda: not _loading(server), "all models are loaded", 300)
        online = os.environ | {"HF_HUB_OFFLINE": "0"}  # what keeps tests off the network would stop clients, too
        return subprocess.run([*command, server.url], check=False, env=online).returncode


def _loading(server: processes.Web) -> bool:
    with client(server) as http:
        return "loading" in http.get("/health/ready").text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
