"""Processes of one server, as ``multiprocessing`` starts them for uvicorn and hypercorn."""

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from typing import Any

from inference.process import single

PROCESSES = multiprocessing.get_context("spawn")


def serve(connection: Connection) -> None:
    """Say whether it is the only one; fork and end when told to."""
    connection.send(single.claim())
    while connection.recv() == "fork":
        if (child := os.fork()) == 0:
            signal.pause()
        connection.send(child)


class Child:
    def __init__(self) -> None:
        self._connection, theirs = PROCESSES.Pipe()
        self._process: Any = PROCESSES.Process(target=serve, args=(theirs,))
        self._process.start()
        self.alone: bool = self._connection.recv()

    def fork(self) -> int:
        """Make a child of its own, and return its process id."""
        self._connection.send("fork")
        child: int = self._connection.recv()
        return child

    def end(self) -> None:
        self._connection.send("end")
        self._process.join()


def test_the_second_process_of_a_server_is_refused_until_the_first_has_ended():
    first, second = Child(), Child()
    assert (first.alone, second.alone) == (True, False)
    first.end()
    third = Child()
    assert third.alone, "a server that restarts its process"
    second.end()
    third.end()


def test_a_child_of_a_process_that_ended_does_not_stand_in_for_it():
    first = Child()
    forked = first.fork()
    try:
        first.end()
        second = Child()
        assert second.alone
        second.end()
    finally:
        os.kill(forked, signal.SIGKILL)


def test_a_server_of_one_process_is_none_of_these():
    assert single.claim()
    assert single.claim()
