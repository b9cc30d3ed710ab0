"""Anything at all, to a real server: each request is answered, none with a bug, and each is in the log.

python -m tests.soak.fuzz --examples 10000       as many HTTP requests, and as many WebSocket frames
"""

import argparse
import http.client
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from websockets.sync.client import ClientConnection, connect

from inference.errors import InferenceError
from inference.tasks import TASKS
from tests import processes
from tests.processes import Web

CODES = {kind.code: kind.status for kind in InferenceError.__subclasses__()} | {"validation": 0}
LONGEST_ERROR = 1000
"""Characters; however long what the client sent was, the answer does not repeat it."""
PARAMETERS = sorted({name for task in TASKS.values() for name in task.parameters})
ODD_JSON = [
    "[" * 100_000,
    '{"inputs":' * 5_000,
    '{"inputs": ' + "[" * 900 + "]" * 900 + "}",
    '{"inputs": "[MASK]", "parameters": ' + '{"a":' * 900 + "1" + "}" * 901,
    '{"type": "infer", "id": "a", "inputs": ' + "[" * 900 + "]" * 900 + "}",
    '{"inputs": 1e999}',
    '{"inputs": NaN}',
    '{"inputs": -Infinity, "inputs": "[MASK]"}',
    '{"inputs": "\\ud800 [MASK]"}',
    '{"inputs": ' + "9" * 5_000 + "}",
    '{"' + "k" * 60_000 + '": 1}',
    "{" + ",".join(f'"{n}":{n}' for n in range(20_000)) + "}",
    "\ufeff{}",
]
LONG_INPUTS = ["[MASK]" * 300, "x" * 50_000 + " [MASK]", ["[MASK]"] * 129, "\ud800[MASK]", "\0 [MASK]"]

# What is sent

small_texts = st.text(max_size=20)
numbers = st.one_of(
    st.integers(), st.floats(), st.sampled_from([0, -1, 2**63, 2**64, -(2**63) - 1, 10**400, 1e308, 5e-324])
)
scalars = st.one_of(st.none(), st.booleans(), numbers, small_texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(small_texts, inner, max_size=4)),
    max_leaves=12,
)
inputs = st.one_of(
    values,
    small_texts.map("{} [MASK]".format),
    st.lists(st.one_of(values, small_texts.map("[MASK] {}".format)), max_size=6),
    st.integers(0, len(LONG_INPUTS) - 1).map(LONG_INPUTS.__getitem__),
    st.lists(st.fixed_dictionaries({"role": small_texts, "content": values}), max_size=3),
)
parameters = st.one_of(
    values,
    st.dictionaries(st.sampled_from(PARAMETERS), values, max_size=3),
    st.fixed_dictionaries({"top_k": st.integers(-2, 1002)}),
    st.fixed_dictionaries({"targets": st.lists(small_texts, max_size=4)}),
)
bodies = st.fixed_dictionaries(
    {},
    optional={"inputs": inputs, "parameters": parameters, "stream": values, "options": values, "more": values},
)
frames = st.fixed_dictionaries(
    {},
    optional={
        "type": st.one_of(st.sampled_from(["infer", "infer", "infer", "cancel", "ping"]), values),
        "id": st.one_of(small_texts, values),
        "inputs": inputs,
        "parameters": parameters,
        "stream": values,
        "timeout_s": st.one_of(values, st.floats(0.001, 60)),
        "traceparent": values,
        "more": values,
    },
)
likely_frames = st.fixed_dictionaries(
    {
        "type": st.just("infer"),
        "id": st.text(min_size=1, max_size=64),
        "inputs": st.one_of(inputs, small_texts.map("{} [MASK]".format)),
    },
    optional={"parameters": parameters, "stream": st.booleans(), "timeout_s": st.floats(0.001, 60)},
)

odd_json = st.integers(0, len(ODD_JSON) - 1).map(ODD_JSON.__getitem__)


def as_json(value: Any) -> str:
    return json.dumps(value)  # with NaN and lone surrogates, which clients do send


http_bodies = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace")),
    small_texts.map(lambda text: f"{text} [MASK]".encode()),
    st.one_of(bodies, values).map(as_json).map(str.encode),
    odd_json.map(lambda text: text.encode("utf-8", "replace")),
)
header_values = st.one_of(
    st.binary(max_size=60).map(lambda value: value.translate(None, b"\0\r\n").strip()),
    st.sampled_from([b"0", b"1", b"nan", b"1e9", b"-1", b"30", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"]),
)
content_types = st.one_of(
    st.sampled_from(
        [b"application/json", b"text/plain", b"multipart/form-data; boundary=x", b"application/x-www-form-urlencoded"]
    ),
    header_values,
)
headers = st.dictionaries(
    st.sampled_from(
        ["x-request-timeout-seconds", "x-request-id", "traceparent", "accept", "origin", "cookie", "x-forwarded-for"]
    ),
    header_values,
    max_size=2,
)
methods = st.sampled_from(["POST"] * 12 + ["PUT", "DELETE", "PATCH", "BREW"])
text_frames = st.one_of(
    small_texts,
    st.one_of(likely_frames, frames, values).map(as_json),
    odd_json.filter(lambda text: "\ud800" not in text),
)


# What must be


class Http:
    """One connection. Each request is to be answered on it, and to be in the log."""

    def __init__(self, server: Web) -> None:
        self.ids: list[str] = []
        self.outcomes: Counter[str] = Counter()
        url = urlsplit(server.url)
        self._connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=60)
        self.close = self._connection.close

    def ask(self, method: str, body: bytes, content_type: bytes, more: dict[str, bytes], *, chunked: bool) -> None:
        sent: Any = iter([body[:7], body[7:]] if body else []) if chunked else body
        all_headers: Any = {"content-type": content_type, **more}
        self._connection.request(method, "/", body=sent, headers=all_headers, encode_chunked=chunked)
        reply = self._connection.getresponse()
        content = reply.read()
        self.ids.append(reply.headers["x-request-id"])
        outcome = "ok" if reply.status == 200 else check_error(json.loads(content), "error", "error_type")
        assert reply.status == 200 or CODES[outcome] in (reply.status, 0), (reply.status, content)
        self.outcomes[f"{reply.status} {outcome}"] += 1


class Socket:
    """One WebSocket, which stays open. Each frame is answered, and what is not a ping is in the log."""

    def __init__(self, connection: ClientConnection) -> None:
        self.ids: dict[str, None] = {}
        self.outcomes: Counter[str] = Counter()
        self._connection = connection
        self._numbers = itertools.count()

    def say(self, frame: str | bytes, *, pieces: bool) -> None:
        probe = f"probe {next(self._numbers)}"
        self._connection.send([frame[:3], frame[3:]] if pieces else frame)
        self._connection.send(as_json({"type": "ping", "id": probe}))
        answers = 0
        unanswered: set[str] = set()
        probed = False
        while unanswered or not probed:
            answer = json.loads(self._connection.recv(60))
            if answer == {"type": "pong", "id": probe}:
                probed = True
                continue
            answers += answer["type"] in ("accepted", "error", "pong")
            if "request_id" in answer:
                self.ids[answer["request_id"]] = None
            if answer["type"] == "accepted":
                unanswered.add(answer["id"])
            elif answer["type"] in ("result", "error"):
                unanswered.discard(answer.get("id"))
                code = "ok" if answer["type"] == "result" else check_error(answer, "message", "code")
                self.outcomes[code] += 1
        assert answers, "a frame without an answer"


def check_error(error: dict[str, Any], sentence: str, code: str) -> str:
    """Returns its code."""
    assert error[code] in CODES, error
    assert error[code] not in ("internal", "inference"), error
    assert 0 < len(error[sentence]) <= LONGEST_ERROR, error
    assert "Traceback" not in error[sentence]
    assert "/inference" not in error[sentence], error
    return str(error[code])


def fuzz_http(server: Web, examples: int) -> Http:
    client = Http(server)

    @_settings(examples)
    @given(methods, http_bodies, content_types, headers, st.booleans())
    def run(method: str, body: bytes, content_type: bytes, more: dict[str, bytes], chunked: bool) -> None:
        client.ask(method, body, content_type, more, chunked=chunked)

    with closing(client):
        run()
    return client


def fuzz_websocket(server: Web, examples: int) -> Socket:
    # Without keepalive: its thread draws from `random`, which hypothesis has seeded.
    with connect(server.socket_url, proxy=None, max_size=None, ping_interval=None) as connection:
        client = Socket(connection)

        @_settings(examples)
        @given(st.one_of(likely_frames.map(as_json), text_frames, st.binary(max_size=50)), st.booleans())
        def run(frame: str | bytes, pieces: bool) -> None:
            client.say(frame, pieces=pieces)

        run()
    return client


def _settings(examples: int) -> Callable[[Any], Any]:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
    phases = (Phase.explicit, Phase.generate)  # a server has a state: what failed once need not fail again
    return settings(max_examples=examples, deadline=None, database=None, suppress_health_check=checks, phases=phases)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=10_000, help="of each kind (default: %(default)s)")
    examples = parser.parse_args().examples
    asked = 0
    with processes.web() as server:
        for name, fuzz in (("HTTP requests", fuzz_http), ("WebSocket frames", fuzz_websocket)):
            began = time.monotonic()
            client = fuzz(server, examples)
            asked += len(client.ids)
            print(f"{examples} {name}, {len(client.ids)} requests, {time.monotonic() - began:.0f} s", flush=True)
            for outcome, count in client.outcomes.most_common():
                print(f"  {count:6d} {outcome}")
    logged = sum(row["count"] for row in server.rows())
    tracebacks = server.log().count("Traceback")
    print(f"{asked} requests asked, {logged} in the log, {tracebacks} tracebacks")
    return int(asked != logged or tracebacks > 0)


if __name__ == "__main__":
    sys.exit(main())
