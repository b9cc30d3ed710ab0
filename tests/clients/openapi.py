"""``python -m tests.clients.openapi SCHEMATHESIS OPTION…``: our document against a server, by schemathesis 4.32.5.

SCHEMATHESIS is the path of its command, such as ``.venv-clients/bin/schemathesis``. It makes up requests by the
document; no answer may have another status, content type, header or content than is documented, and none may be 500.
The server has a fake pipeline for each task.
"""

import os
import subprocess
import sys
from pathlib import Path

from inference.tasks import TASKS
from tests import processes

CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    *("response_headers_conformance", "response_schema_conformance"),
)
TABLE = '[{0}]\ntask = "{0}"\nmodel = "{0}"\nbackend = "inference.testing.backend"\n'
CONFIGURATION = '[checks]\nnot_a_server_error.expected-statuses = ["2xx", "4xx", 503, 504]\n'
"""A deadline of a nanosecond is missed."""


def main(schemathesis: str, *options: str) -> int:
    folder = processes.scratch()
    pipelines, configuration = folder / "every_task.toml", folder / "schemathesis.toml"
    pipelines.write_text("\n".join(map(TABLE.format, TASKS)))
    configuration.write_text(CONFIGURATION)
    with processes.web(env={"INFERENCE_PIPELINES": str(pipelines)}) as server:
        command = [str(Path(schemathesis).absolute()), f"--config-file={configuration}", "run", *options]
        command += ["--checks", ",".join(CHECKS), f"{server.url}/openapi.json"]
        return subprocess.run(command, check=False, env=os.environ, cwd=folder).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
