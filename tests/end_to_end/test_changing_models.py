"""Workers with different models on one Redis: each request gets the answer of the model that it was validated for."""

import httpx

from tests import processes
from tests.conftest import client
from tests.processes import Redis, Web, Worker, wait_until

TEXT = "test [MASK]"


def ready(http: httpx.Client) -> dict[str, str]:
    found: dict[str, str] = http.get("/health/ready").json()
    return found


def labels(http: httpx.Client) -> bool:
    """Whether the answer is that of the classifier."""
    reply = http.post("/", content=TEXT)
    return reply.status_code == 200 and "label" in reply.json()[0]


def test_a_worker_with_another_model_answers_nothing_until_it_takes_over(redis: Redis) -> None:
    here = processes.FAKE | {"INFERENCE_LAYER_PREFIX": "changing"}
    other = here | {"INFERENCE_TASK": "text-classification"}
    with (
        processes.worker(redis, here) as first,
        processes.web(redis, here) as web,
        processes.worker(redis, other) as second,
        client(web) as http,
    ):
        wait_until(lambda: "warning" in ready(http), "the web process knows both workers")
        told = ready(http)
        assert told["status"] == "ready"
        assert "text-classification" in told["warning"]
        assert "none go to text-classification" in told["warning"]
        assert "Workers serve different models" in http.get("/").text
        answers = [http.post("/", content=TEXT).json() for _ in range(10)]
        assert all("token_str" in answer[0] for answer in answers)
        _stop(first)
        wait_until(lambda: labels(http), "the other worker has taken over")
        assert "warning" not in ready(http)
        _said_once(web)
        assert second.running


def _stop(worker: Worker) -> None:
    assert worker.terminate() == 0


def _said_once(web: Web) -> None:
    log = web.log()
    assert log.count("Ready workers serve different models") == 1
    assert log.count("New requests are for text-classification") == 1
    assert "Description(" not in log, "the log names what is served in words"
