import asyncio
import socket

from inference.server.event_loop import MOST_EVENTS, limit_events_per_round


def test_a_flood_is_taken_a_few_at_a_time_and_nobody_is_passed_over():
    """What another thread has to say is heard between them, not after all."""
    loop = asyncio.new_event_loop()
    limit_events_per_round(loop)
    pairs = [socket.socketpair() for _ in range(5 * MOST_EVENTS)]
    rounds: list[int] = []
    heard: set[int] = set()

    def hear(number: int) -> None:
        pairs[number][0].recv(1)
        heard.add(number)
        rounds[-1] += 1

    def next_round() -> None:
        if len(heard) == len(pairs):
            loop.stop()
            return
        rounds.append(0)
        loop.call_soon(next_round)

    for number, (mine, theirs) in enumerate(pairs):
        loop.add_reader(mine, hear, number)
        theirs.send(b"x")
    loop.call_soon(next_round)
    loop.run_forever()
    loop.close()
    for pair in pairs:
        for end in pair:
            end.close()

    assert max(rounds) <= MOST_EVENTS
    assert sum(rounds) == len(pairs)
