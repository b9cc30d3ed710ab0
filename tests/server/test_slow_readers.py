import pytest
from twisted.internet.task import Clock

from inference.server.slow_readers import UNWATCHED_BYTES, SlowReaderWatch
from inference.server.stalls import LEAST_BYTES_PER_S


@pytest.fixture(autouse=True)
def _no_stalls() -> None:
    """Stalled bytes are counted for the whole process."""
    SlowReaderWatch._stalled.clear()


class Transport:
    """Keeps what is written until ``take`` is called."""

    dataBuffer, offset, _tempDataLen = b"", 0, 0

    def write(self, size: int) -> None:
        self._tempDataLen += size

    def take(self, size: int) -> None:
        self._tempDataLen -= size


class Connection:
    def __init__(self, *, stall_s: float = 10.0, most_bytes: int = 10**9) -> None:
        self.clock = Clock()
        self.transport = Transport()
        self.backpressure = SlowReaderWatch(self.clock.callLater, stall_s, most_bytes)
        self.disconnected: list[int] = []
        """Bytes unsent when it was disconnected."""

    def write(self, size: int) -> None:
        self.transport.write(size)
        self.backpressure.wrote(self.transport, size, self.disconnected.append)

    def advance(self, seconds: int, taking: int = 0) -> None:
        """``taking`` is in bytes per second."""
        for _ in range(seconds):
            self.transport.take(min(taking, self.transport._tempDataLen))
            self.clock.advance(1)


def test_a_client_that_takes_nothing_is_disconnected() -> None:
    connection = Connection()
    connection.write(UNWATCHED_BYTES + 1)
    connection.advance(9)
    assert not connection.disconnected
    connection.advance(1)
    assert connection.disconnected == [UNWATCHED_BYTES + 1]
    assert not connection.clock.getDelayedCalls()


def test_a_little_is_not_watched() -> None:
    connection = Connection()
    connection.write(UNWATCHED_BYTES)
    assert not connection.clock.getDelayedCalls()


def test_a_slow_client_that_goes_on_taking_is_kept() -> None:
    connection = Connection()
    connection.write(200 * 1024)
    connection.advance(100, taking=LEAST_BYTES_PER_S)
    assert not connection.disconnected
    connection.advance(100, taking=LEAST_BYTES_PER_S)
    assert not connection.disconnected
    assert not connection.clock.getDelayedCalls(), "it has caught up"


def test_a_few_bytes_and_further_writes_are_no_progress() -> None:
    connection = Connection()
    connection.write(200 * 1024)
    for _ in range(11):
        connection.write(5000)
        connection.advance(1, taking=LEAST_BYTES_PER_S // 2)
    assert len(connection.disconnected) == 1


def test_a_short_stall_has_no_effect() -> None:
    connection = Connection()
    connection.write(10**6)
    for _ in range(5):
        connection.advance(6)
        connection.advance(2, taking=50_000)
    assert not connection.disconnected


def test_more_than_the_bound_is_disconnected_at_once_but_one_answer_may_be_larger() -> None:
    connection = Connection(most_bytes=10**6)
    connection.write(5 * 10**6)
    assert not connection.disconnected
    connection.write(1)
    assert connection.disconnected == [5 * 10**6 + 1]
    assert not connection.clock.getDelayedCalls()


def test_while_many_stall_further_ones_are_disconnected_at_once() -> None:
    connections = [Connection() for _ in range(10)]
    for connection in connections:
        connection.write(2 * 2**20)
        connection.advance(1)

    assert [bool(connection.disconnected) for connection in connections] == [False] * 9 + [True]


def test_one_large_stall_or_a_slow_reader_is_not_many() -> None:
    alone = Connection()
    alone.write(30 * 2**20)
    alone.advance(9)
    slow = Connection()
    slow.write(10**6)
    slow.advance(9, taking=2 * LEAST_BYTES_PER_S)

    assert not alone.disconnected
    assert not slow.disconnected


def test_answers_that_are_not_watched_count_only_behind_one_that_is() -> None:
    connection = Connection()

    def write_unwatched(size: int) -> None:
        connection.transport.write(size)
        connection.backpressure.wrote_unwatched(connection.transport, size)

    write_unwatched(10**6)
    assert not connection.clock.getDelayedCalls()
    connection.transport.take(10**6)

    connection.write(10**6)
    connection.advance(5, taking=10**5)
    write_unwatched(10**6)
    connection.advance(5, taking=10**5)
    assert not connection.disconnected, "what was written meanwhile is no stall"
    write_unwatched(10**6)
    assert connection.backpressure.watching

    connection.transport.take(connection.transport._tempDataLen)
    write_unwatched(10**6)
    assert not connection.backpressure.watching
