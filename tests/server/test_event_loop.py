import asyncio
import socket

from inference.server.event_loop import MOST_EVENTS, limit_events


def test_of_many_ready_sockets_a_few_are_handled_per_iteration_and_none_is_passed_over():
    """Callbacks of other threads run between them, not after all."""
    loop = asyncio.new_event_loop()
    limit_events(loop)
    pairs = [socket.socketpair() for _ in range(5 * MOST_EVENTS)]
    iterations: list[int] = []
    handled: set[int] = set()

    def handle(number: int) -> None:
        pairs[number][0].recv(1)
        handled.add(number)
        iterations[-1] += 1

    def next_iteration() -> None:
        if len(handled) == len(pairs):
            loop.stop()
            return
        iterations.append(0)
        loop.call_soon(next_iteration)

    for number, (mine, theirs) in enumerate(pairs):
        loop.add_reader(mine, handle, number)
        theirs.send(b"x")
    loop.call_soon(next_iteration)
    loop.run_forever()
    loop.close()
    for pair in pairs:
        for end in pair:
            end.close()

    assert max(iterations) <= MOST_EVENTS
    assert sum(iterations) == len(pairs)
