"""How long prompts will be read, counted in bytes: a worker reads a token in 2 ms, and a byte is a quarter of one."""

from typing import Any

import pytest

from inference.scheduling.host_registry import HostRegistry
from inference.scheduling.reading_estimate import BLOCK, MOST_BLOCKS, STRETCH, Prompts, ReadingEstimate
from tests.scheduling.test_host_registry import meet

TEXT = "".join(f"{number:7} " for number in range(250))
"""2,000 bytes, which is a second of reading beside other texts."""
SECOND = 2002 * 0.0005 * STRETCH


def estimate(hosts: int = 1, **fields: Any) -> ReadingEstimate:
    registry = HostRegistry()
    workers = [meet(registry, f"h{number}", **({"reading_ms": 2.0} | fields)) for number in range(hosts)]
    return ReadingEstimate(lambda: workers)


def admit(made: ReadingEstimate, *inputs: Any, now: float = 0.0) -> Prompts:
    prompts = made.of(inputs)
    made.add(prompts, inputs, now)
    return prompts


def another(number: int) -> str:
    return f"{number:8}" + TEXT[8:]


def test_a_prompt_takes_what_its_bytes_take():
    assert estimate().of([TEXT]).seconds == pytest.approx(SECOND)
    assert estimate(2).of([TEXT]).seconds == pytest.approx(SECOND / 2), "workers share them"
    assert estimate(webs=4).of([TEXT]).seconds == pytest.approx(SECOND * 4), "and so do web processes"
    assert estimate(reading_ms=0.0).of([TEXT]).seconds == 0, "nothing is known, or nothing is read in parts"
    assert estimate(0).of([TEXT]).seconds == 0
    assert estimate().of([object()]).seconds == 0, "validation says what is wrong"


def test_what_answers_took_replaces_the_first_guess():
    made = estimate()
    for number in range(40):
        made.learn(admit(made, another(number)), 0.5)
    assert made.of([TEXT]).seconds == pytest.approx(0.5 * STRETCH, rel=0.1)


def test_a_short_prompt_says_little_of_what_long_ones_cost():
    """A step takes its time, whatever it reads."""
    made = estimate()
    made.learn(admit(made, "hello"), 0.1)
    assert made.of([TEXT]).seconds == pytest.approx(SECOND, rel=0.15)


def test_prompts_wait_for_those_before_which_are_read_meanwhile():
    made = estimate()
    for number in range(4):
        admit(made, another(number), now=1.0)
    next_one = made.of([TEXT])
    assert made.wait_s(next_one, 1.0) == pytest.approx(4 * SECOND)
    assert made.wait_s(next_one, 1.0 + 3 * SECOND) == pytest.approx(SECOND)
    assert made.wait_s(next_one, 100.0) == 0


def test_a_short_one_does_not_wait_for_long_ones():
    made = estimate()
    for number in range(4):
        admit(made, another(number))
    assert made.wait_s(made.of(["hello"]), 0.0) == 0
    admit(made, "hello")
    admit(made, "hallo")
    short = made.of(["holla"])
    assert made.wait_s(short, 0.0) == pytest.approx(4 * short.seconds), "half of the time the oldest is read"


def test_nobody_waits_for_one_that_was_cancelled_or_answered():
    made = estimate()
    first, second, third = (admit(made, another(number)) for number in range(3))
    made.end(second, 0.0)
    assert made.wait_s(made.of([TEXT]), 0.0) == pytest.approx(2 * SECOND)
    made.end(third, 0.0)
    made.end(first, 0.25)
    assert made.wait_s(made.of([TEXT]), 0.25) == 0


def test_what_another_request_began_with_is_read_once():
    made = estimate()
    chat = [{"role": "system", "content": TEXT}, {"role": "user", "content": "hello"}]
    admit(made, chat)
    later = made.of([[*chat, {"role": "assistant", "content": "hi"}, {"role": "user", "content": "again"}]])
    assert later.size < BLOCK + 100
    assert 0 < made.of([chat]).size <= BLOCK, "the end is read in any case"
    assert made.of([[{"role": "system", "content": "not " + TEXT}]]).size > 2000


def test_no_more_is_remembered_than_a_megabyte():
    made = estimate()
    for number in range(700):
        made.end(admit(made, another(number)), 0.0)
    assert len(made._known) == MOST_BLOCKS
    assert made.of([another(699)]).size <= BLOCK
    assert made.of([another(0)]).size > 2000
    assert not made._admitted
