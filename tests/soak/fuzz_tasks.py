"""Bodies like those that each task takes, and unlike them: none is answered with a bug, and no worker ends.

python -m tests.soak.fuzz_tasks --bodies 2000                         for each task, with a tiny model of each
python -m tests.soak.fuzz_tasks --schemas package/src/tasks           half of them by the schemas of @huggingface/tasks

The schemas come with the npm package @huggingface/tasks; the folder is that of its unpacked sources.
"""

import argparse
import base64
import http.client
import json
import random
import string
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from inference.tasks import TASKS
from inference.tasks.base import Task
from inference.tasks.media import EXAMPLE_IMAGE, EXAMPLE_RECORDING
from tests import every_model, processes
from tests.processes import Web
from tests.soak.fuzz import CODES, check_error

TEXTS = [
    "",
    " ",
    "a",
    "the old river",
    "[MASK]",
    "é\u0301",
    "\ud83d\ude00",
    "\0",
    "\u202e",
    "x" * 3000,
    "the river " * 400,
]
SCALARS: list[Any] = [None, True, False, 0, 1, -1, 2, 7, 0.5, -0.0, 1e308, 2**63, 2**64, *TEXTS]
CONTAINERS: list[Any] = [[], {}, [[]], [{}], {"a": {}}, [1, "a"], [None], ["a"] * 200, {"inputs": "a"}]
FEWEST_RIGHT = 0.02
"""Part of the bodies that must be right for the rest to mean something."""


class Fuzz:
    """Makes bodies for one task."""

    def __init__(self, task: Task, schema: dict[str, Any] | None, chance: random.Random) -> None:
        self._task = task
        self._schema = schema
        self._chance = chance

    def bodies(self, number: int) -> Iterator[tuple[bytes, str]]:
        """Each with its content type."""
        for n in range(number):
            if self._task.input.media and not self._task.needs_parameters and n % 4 == 0:
                yield self._raw()
            elif self._schema and n % 2:
                value = self._of_schema(self._schema, self._schema.get("$defs", {}))
                yield self._json(value if isinstance(value, dict) else {"inputs": value})
            else:
                yield self._json(self._mutated(self._example()))

    def _example(self) -> dict[str, Any]:
        parameters: dict[str, Any] = dict(self._task.example_parameters)
        known = list(self._task.parameters)
        for name in self._chance.sample(known, min(self._chance.randrange(3), len(known))):
            right = self._chance.random() < 0.7
            values = _right(str(self._task.parameters[name].kind)) if right else [*SCALARS, *CONTAINERS]
            parameters[name] = self._chance.choice(values)
        value = self._task.example_for("[MASK]")
        return {"inputs": [value, value] if self._chance.random() < 0.1 else value, "parameters": parameters}

    def _raw(self) -> tuple[bytes, str]:
        """An image or a recording, mostly damaged."""
        audio = getattr(self._task.input, "kind", "image") == "audio"
        data = bytearray(base64.b64decode(EXAMPLE_RECORDING if audio else EXAMPLE_IMAGE))
        for _ in range(self._chance.randrange(4)):
            place = self._chance.randrange(max(1, len(data)))
            match self._chance.randrange(3):
                case 0:
                    data[place : place + 1] = bytes([self._chance.randrange(256)])
                case 1:
                    del data[place:]
                case 2:
                    data[place:place] = self._chance.randbytes(self._chance.randrange(9))
        kinds = ["image/png", "image/jpeg", "audio/wav", "application/octet-stream", "text/plain", ""]
        return bytes(data), self._chance.choice(kinds)

    def _json(self, body: Any) -> tuple[bytes, str]:
        text = json.dumps(body)
        if self._chance.random() < 0.02:
            text = text[: self._chance.randrange(len(text))]
        return text.encode(), "application/json"

    def _mutated(self, value: Any, depth: int = 0) -> Any:
        """A few parts are others, or missing."""
        if self._chance.random() < 0.03 / (1 + depth):
            return self._chance.choice([*SCALARS, *CONTAINERS])
        if isinstance(value, dict):
            kept = {
                name: self._mutated(each, depth + 1) for name, each in value.items() if self._chance.random() < 0.97
            }
            if self._chance.random() < 0.03:
                kept[self._chance.choice(["more", "", "inputs", "top_k"])] = self._chance.choice(SCALARS)
            return kept
        if isinstance(value, list):
            return [self._mutated(each, depth + 1) for each in value]
        if isinstance(value, str) and self._chance.random() < 0.1:
            place = self._chance.randrange(len(value) + 1)
            return value[:place] + self._chance.choice(string.printable) + value[place:]
        return value

    def _of_schema(self, schema: dict[str, Any], known: dict[str, Any], depth: int = 0) -> Any:
        """A value that the schema allows, or nearly: JSON Schema as those of the package use it."""
        if self._chance.random() < 0.02 or depth > 6:
            return self._chance.choice([*SCALARS, *CONTAINERS])
        if "$ref" in schema:
            return self._of_schema(known.get(schema["$ref"].rpartition("/")[2], {}), known, depth + 1)
        for several in ("oneOf", "anyOf"):
            if several in schema:
                return self._of_schema(self._chance.choice(schema[several]), known, depth + 1)
        if "enum" in schema:
            return self._chance.choice(schema["enum"])
        makes: dict[Any, Callable[[], Any]] = {
            "string": lambda: self._chance.choice(TEXTS),
            "integer": lambda: self._chance.choice([0, 1, 2, 5, 100, -1, 10**9]),
            "number": lambda: self._chance.choice([0, 0.1, 0.5, 1, 1.5, -1, 1e9]),
            "boolean": lambda: self._chance.random() < 0.5,
            "array": lambda: [
                self._of_schema(schema.get("items", {}), known, depth + 1) for _ in range(self._chance.randrange(4))
            ],
        }
        if schema.get("type") in makes:
            return makes[schema["type"]]()
        required = schema.get("required", ())
        return {
            name: self._of_schema(each, known, depth + 1)
            for name, each in schema.get("properties", {}).items()
            if name in required or self._chance.random() < 0.3
        }


def _right(rule: str) -> list[Any]:
    """Values that a parameter with this rule is likely to take."""
    words = rule.removeprefix("one of ").split(", ") if rule.startswith("one of ") else []
    return [*words, 1, 2, 16, 0.5, True, False, ["a", "b"], "{} a"]


def schema_of(folder: Path | None, task: str) -> dict[str, Any] | None:
    path = folder / task / "spec" / "input.json" if folder else None
    schema: dict[str, Any] | None = json.loads(path.read_text()) if path and path.exists() else None
    return schema


def fuzz(server: Web, name: str, bodies: Iterator[tuple[bytes, str]]) -> Counter[str]:
    """Outcomes, by status and code."""
    url, outcomes = urlsplit(server.url), Counter[str]()
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=60)
    for body, kind in bodies:
        connection.request("POST", f"/pipelines/{name}", body, {"content-type": kind} if kind else {})
        reply = connection.getresponse()
        content = reply.read()
        if reply.status == 200:
            outcomes["200"] += 1
            continue
        try:
            code = check_error(json.loads(content), "error", "error_type")
            assert CODES[code] in (reply.status, 0)
            assert reply.status < 500
        except Exception as error:
            error.add_note(f"{name}: {kind!r} {body[:1000]!r} got {reply.status} {content[:1000]!r}")
            raise
        outcomes[f"{reply.status} {code}"] += 1
    connection.close()
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.fuzz_tasks", description=__doc__)
    parser.add_argument("--bodies", type=int, default=2000, help="for each task (default: %(default)s)")
    parser.add_argument("--schemas", type=Path, help="folder of the sources of @huggingface/tasks")
    parser.add_argument("--only", help="names of tasks, separated by commas")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    names = options.only.split(",") if options.only else sorted(every_model.MODELS)
    bad = 0
    with processes.web(env={"INFERENCE_PIPELINES": str(every_model.catalog(names))}) as server:
        for name in names:
            began, chance = time.monotonic(), random.Random(f"{options.seed} {name}")
            bodies = Fuzz(TASKS[name], schema_of(options.schemas, name), chance).bodies(options.bodies)
            outcomes = fuzz(server, name, bodies)
            print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
            for outcome, count in outcomes.most_common():
                print(f"  {count:6d} {outcome}", flush=True)
            if outcomes["200"] < FEWEST_RIGHT * options.bodies:
                print("  too few were right", flush=True)
                bad += 1
        lost = [line for line in server.log().splitlines() if "Traceback" in line or "is lost" in line]
    print(f"{len(lost)} tracebacks or lost workers in the log")
    return int(bool(lost) or bad > 0)


if __name__ == "__main__":
    sys.exit(main())
