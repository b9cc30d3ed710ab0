import pytest

from inference.worker import consumer as module
from inference.worker.consumer import WorkerConsumer


async def test_messages_that_cannot_be_read_are_reported_once_and_not_without_end(
    monkeypatch: pytest.MonkeyPatch,
):
    reported: list[str] = []
    monkeypatch.setattr(module, "MOST_REPORTED", 3)
    monkeypatch.setattr(module.logger, "warning", lambda _, error: reported.append(str(error)))
    consumer = WorkerConsumer()
    consumer._reported = set()
    for number in (1, 1, 2, 3, 4, 5):
        await consumer.dispatch({"type": "hello", "version": -number})
    assert len(reported) == len(consumer._reported) == 3
