import logging
from dataclasses import replace
from typing import Any

import pytest

from inference import conf
from inference.process import web
from inference.process.web import WebProcess


async def test_a_process_that_does_not_start_is_not_the_current_one(monkeypatch: pytest.MonkeyPatch):
    def fail(self: WebProcess) -> None:
        raise ValueError

    monkeypatch.setattr("inference.process.web._current", None)
    monkeypatch.setattr(WebProcess, "start", fail)
    with pytest.raises(ValueError):  # noqa: PT011 - its own
        web.start(pytest.fail)
    assert web.current() is None


class Quiet(WebProcess):
    """Starts nothing that would go on."""

    def __init__(self) -> None:
        self.fatal: list[str] = []
        super().__init__(self.fatal.append, log_requests=False)
        self.embedded_host = None
        self.dispatcher.start = lambda: None  # type: ignore[method-assign]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("inference"), "propagate", True)
    return caplog


async def test_a_contradiction_between_settings_is_fatal(settings: Any, log: pytest.LogCaptureFixture):
    settings.INFERENCE = replace(conf.Conf(), deadline_s=31, max_deadline_s=30)
    process = Quiet()
    process.start()
    assert process.fatal == ["INFERENCE_DEADLINE_S (31) is above INFERENCE_MAX_DEADLINE_S (30)."]


async def test_a_setting_that_does_not_exist_is_a_warning(
    settings: Any, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
):
    settings.INFERENCE = conf.Conf()
    monkeypatch.setenv("INFERENCE_MAX_BATCHSIZE", "8")
    process = Quiet()
    process.start()
    assert process.fatal == []
    assert "INFERENCE_MAX_BATCHSIZE is set, but there is no such setting. Did you mean" in log.text


async def test_settings_without_contradiction_start_in_silence(settings: Any, log: pytest.LogCaptureFixture):
    settings.INFERENCE = conf.Conf()
    process = Quiet()
    process.start()
    assert (process.fatal, log.text) == ([], "")


@pytest.mark.parametrize(("stop", "waits"), [("drain", ["stop"]), ("answer_accepted", ["flush"])])
async def test_a_stop_waits_for_the_database_once(settings: Any, stop: str, waits: list[str]):
    """In an outage each wait takes its 5 s, and a supervisor's patience ends 10 s after the last request."""
    settings.INFERENCE = conf.Conf()
    waited: list[str] = []

    class Log:
        async def flush(self) -> None:
            waited.append("flush")

        async def stop(self) -> None:
            waited.append("stop")

    async def stopped() -> None: ...

    process: Any = Quiet()
    process._request_log, process.dispatcher.stop = Log(), stopped
    await getattr(process, stop)()
    assert waited == waits
