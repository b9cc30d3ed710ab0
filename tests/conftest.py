"""Servers that the whole suite shares, the answers to expect from them, and a clean channel layer for each test."""

import fcntl
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
from channels.layers import InMemoryChannelLayer, channel_layers
from django.conf import settings

from inference.conf import BUNDLED_MODEL
from tests import processes
from tests.browsing import _browser, new_page, page  # noqa: F401 - fixtures
from tests.processes import Redis, Web, Worker

# Read when transformers and torch are imported, which no module does at its top. Spinning would slow the servers down.
os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"}

# A busy machine is no failure.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

FOLDER = Path(__file__).parent
SHARING = {
    "those that fill in": (
        *("end_to_end/test_answers.py", "end_to_end/test_fuzz.py", "end_to_end/test_http.py"),
        *("end_to_end/test_logs.py", "end_to_end/test_open_inference.py", "end_to_end/test_pipelines.py"),
        *("end_to_end/test_request_log.py", "end_to_end/test_request_log_faults.py", "end_to_end/test_security.py"),
        *("end_to_end/test_websocket.py", "server/test_websocket.py", "test_python_api.py"),
    ),
    "those that generate too": (
        *("end_to_end/test_modes.py", "end_to_end/test_openai.py", "end_to_end/test_responses.py"),
        *("end_to_end/test_streaming.py", "test_docs.py"),
    ),
}
"""Files that use servers of this module, each of which takes some seconds of two cores to start."""
SLOW = ("end_to_end", "backends", "host")
MOUNTED = "tests.server.mounted:application"
CLIENT_S = 90.0
"""How long a client waits for an answer: longer than a server may, which has a deadline."""
CLOSE = 1e-4
"""Scores of the same input in different batches differ by less."""
STORY = (
    "the old river runs under a stone bridge while small boats carry bread salt and letters to every quiet town near "
    "our northern coast where people speak of weather music history science and of long winters that end too late"
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "last: waits for time itself to pass, of which most has passed at the end")
    settings.WHITENOISE_AUTOREFRESH = True  # static files are found when asked for, not all of them by each test client


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first: users of shared servers, then what starts processes and loads models of its own."""
    order = [*SHARING, None]

    def turn(item: pytest.Item) -> tuple[bool, int, bool]:
        file = item.path.relative_to(FOLDER)
        waits = item.get_closest_marker("last") is not None
        return waits, order.index(_sharing(file.as_posix())), file.parts[0] not in SLOW

    items.sort(key=turn)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests of a file are in one process, and so are those of files that share servers, which start once."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - only where there are several processes

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return _sharing(file.removeprefix("tests/")) or file

    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


def _sharing(file: str) -> str | None:
    return next((name for name, files in SHARING.items() if file in files), None)


class Reference:
    """``transformers.pipeline`` called directly."""

    def __init__(self) -> None:
        import torch  # noqa: PLC0415 - takes seconds
        import transformers  # noqa: PLC0415

        torch.set_num_threads(1)  # two cores, and the servers need them too
        self._pipe: Any = transformers.pipeline("fill-mask", model=BUNDLED_MODEL, dtype=torch.float32)
        self._known: dict[str, Any] = {}

    def answer(self, text: str, **parameters: Any) -> Any:
        key = repr((text, sorted(parameters.items())))
        if key not in self._known:
            self._known[key] = self._pipe(text, **parameters)
        return self._known[key]

    def learn(self, texts: Iterable[str], **parameters: Any) -> None:
        """Ask for many together, by length so that little is padded: that takes less than half of the time."""
        keys = {text: repr((text, sorted(parameters.items()))) for text in texts}
        new = sorted((text for text, key in keys.items() if key not in self._known), key=len)
        if len(new) > 1:  # the answer to a list of one is not in a list
            answers = self._pipe(new, batch_size=16, **parameters)
            self._known |= {keys[text]: answer for text, answer in zip(new, answers, strict=True)}

    def check_all(self, answers: Iterable[Any], texts: Sequence[str], **parameters: Any) -> None:
        self.learn(texts, **parameters)
        for answer, text in zip(answers, texts, strict=True):
            self.check(answer, text, **parameters)

    def check(self, answer: Any, text: str, **parameters: Any) -> None:
        """The same tokens with the same scores in the same order; tokens with all but equal scores may swap."""
        expected = self.answer(text, **parameters)
        if isinstance(expected[0], dict):
            expected, answer = [expected], [answer]
        assert len(answer) == len(expected), "one list per mask"
        for answer_of_mask, expected_of_mask in zip(answer, expected, strict=True):
            _check_one_mask(answer_of_mask, expected_of_mask)


def _check_one_mask(answer: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert len(answer) == len(expected)
    by_token = {entry["token"]: entry for entry in expected}
    assert len({entry["token"] for entry in answer}) == len(answer)
    for given, wanted in zip(answer, expected, strict=True):
        assert given.keys() == wanted.keys()
        assert given["score"] == pytest.approx(wanted["score"], abs=CLOSE)
        same = by_token.get(given["token"])
        if same is None:  # the last places may go to others that are as likely
            assert given["score"] == pytest.approx(expected[-1]["score"], abs=CLOSE)
            continue
        assert given["score"] == pytest.approx(same["score"], abs=CLOSE)
        assert (given["token_str"], given["sequence"]) == (same["token_str"], same["sequence"])


@pytest.fixture(scope="session")
def reference() -> Reference:
    return Reference()


@pytest.fixture(scope="session")
def make_texts() -> Callable[..., list[str]]:
    """Distinct texts with a mask, of so many words; the same ones in every run."""

    def make(count: int, shortest: int = 3, longest: int = 12, *, masks: int = 1) -> list[str]:
        chance = random.Random(f"{count} {shortest} {longest} {masks}")
        texts: dict[str, None] = {}
        while len(texts) < count:
            words = chance.choices(STORY.split(), k=chance.randint(shortest, longest))
            for place in chance.sample(range(len(words)), masks):
                words[place] = "[MASK]"
            texts[" ".join(words) + "."] = None
        return list(texts)

    return make


MakeOnce = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """A folder of this name, which the first of the test processes fills."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def once(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = shared / name, shared / f"{name}.done"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def wheel(make_once: MakeOnce) -> Path:
    """Built by pip without a network, by the build backend that is installed."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]

    def make(folder: Path) -> None:
        subprocess.run([*build, "--wheel-dir", folder, processes.ROOT], cwd=folder, check=True)

    (built,) = make_once("wheel", make).iterdir()
    return built


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    with processes.redis_server() as server:
        yield server


@contextmanager
def _side_by_side(redis: Redis, env: dict[str, str]) -> Iterator[tuple[Web, Worker]]:
    """A server with its worker embedded, and a worker. Nearly every run needs both, and each loads on one core."""
    with (
        processes.worker(redis, env | processes.new_hold().env, wait=False) as worker,
        processes.web(env=env | processes.new_hold().env, wait_for=None) as server,
    ):
        yield server, worker
        server.wait_until_answers("/health/live")  # or the signal to stop could come before it knows what to do
        _check_log(server)
        _check_log(worker)


@pytest.fixture(scope="session")
def _filling(redis: Redis) -> Iterator[tuple[Web, Worker]]:
    with _side_by_side(redis, {}) as both:
        yield both


@pytest.fixture(scope="session")
def embedded(_filling: tuple[Web, Worker]) -> Web:
    """One process: web server and worker."""
    server, _ = _filling
    server.wait_until_answers("/health/ready")
    return server


@pytest.fixture(scope="session")
def shared_worker(_filling: tuple[Web, Worker]) -> Worker:
    """Live, but possibly still loading: what asks it waits."""
    return _filling[1]


@pytest.fixture(scope="session")
def distributed(redis: Redis, shared_worker: Worker) -> Iterator[Web]:
    """A web server whose worker is a process of its own."""
    with processes.web(redis, shared_worker.hold.env) as server:
        yield server
        _check_log(server)


@pytest.fixture(scope="session")
def below_a_prefix(redis: Redis, shared_worker: Worker) -> Iterator[Web]:
    """In the project of ``tests/server/mounted.py``, with the same worker as ``distributed``."""
    with processes.web(redis, shared_worker.hold.env, application=MOUNTED, prefix="/inference") as server:
        yield server
        _check_log(server)


@pytest.fixture(scope="session")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal language model that talks nonsense, the same in every run, and has a chat template."""
    from tests import tiny_models  # noqa: PLC0415 - imports torch

    return tiny_models.endless(tmp_path_factory.mktemp("language-model"))


@pytest.fixture(scope="session")
def generation(language_model: Path) -> dict[str, str]:
    """Settings of servers and workers that generate text."""
    return {
        "INFERENCE_MODEL": str(language_model),
        "INFERENCE_TASK": "text-generation",
        "INFERENCE_THREADS": "1",
        "INFERENCE_LAYER_PREFIX": "generation",
    }


@pytest.fixture(scope="session")
def _generating(redis: Redis, generation: dict[str, str]) -> Iterator[tuple[Web, Worker]]:
    with _side_by_side(redis, generation) as both:
        yield both


@pytest.fixture(scope="session")
def generating_embedded(_generating: tuple[Web, Worker]) -> Web:
    server, _ = _generating
    server.wait_until_answers("/health/ready")
    return server


@pytest.fixture(scope="session")
def generating_worker(_generating: tuple[Web, Worker]) -> Worker:
    return _generating[1]


@pytest.fixture(scope="session")
def generating_distributed(redis: Redis, generation: dict[str, str], generating_worker: Worker) -> Iterator[Web]:
    with processes.web(redis, generation | generating_worker.hold.env) as server:
        yield server
        _check_log(server)


@pytest.fixture(params=["embedded", "distributed"])
def generating(request: pytest.FixtureRequest) -> Web:
    """A server that generates text, in both modes."""
    shared: Web = request.getfixturevalue(f"generating_{request.param}")
    return shared


def _check_log(process: processes.Process) -> None:
    """Whatever clients did in the whole run, nothing went wrong inside."""
    assert "Traceback" not in process.log(), f"there is a traceback in the log of {process.name}:\n{process.log()}"


@pytest.fixture(params=["embedded", "distributed"])
def server(request: pytest.FixtureRequest) -> Web:
    """Each test runs in both modes; the servers are shared."""
    shared: Web = request.getfixturevalue(request.param)
    return shared


@pytest.fixture
def http(server: Web) -> Iterator[httpx.Client]:
    with client(server) as opened:
        yield opened


def client(server: Web, **options: Any) -> httpx.Client:
    return httpx.Client(base_url=server.url, trust_env=False, verify=False, timeout=CLIENT_S, **options)  # noqa: S501


@pytest.fixture(autouse=True)
def _own_channel_layer() -> Iterator[None]:
    """Tests in this process: messages of one never reach another, and never a Redis of the caller's environment."""
    before = dict(channel_layers.backends)
    channel_layers.set("default", InMemoryChannelLayer(capacity=10_000, expiry=130))
    yield
    channel_layers.backends = before
