"""Clients that send good and harmful inputs and cancel some, while the layer and the hosts fail at random."""

import asyncio
from collections.abc import Sequence
from typing import Any

from inference.errors import DeadlineExceeded, InferenceError, Invalid, NotLoaded, WorkerLost
from tests.simulation import World

CLIENTS = 300
KINDS = {"good": 95.5, "bad": 3, "poison": 1, "hang": 0.5}
"""What they send, in percent."""
ROUNDS = 12
"""Of faults, about one a second."""
ENOUGH_S = 600.0
"""A deadline that no fault excuses, though each harmful input may cost three hosts, for a dozen seconds each."""


def answer(pipeline: str, text: str) -> str:
    return text if pipeline == "default" else f"{pipeline} says {text}"


async def outcome_of(world: World, text: str, **kwargs: Any) -> str:
    """The answer, or the code of the error."""
    try:
        return await world.ask(text, **kwargs)
    except InferenceError as error:
        return error.code


async def check_random_faults(seed: int, pipelines: Sequence[str] = (), orders: Sequence[str] = ()) -> None:
    """Each request ends once and in time, as it should; afterwards nothing is left, and all is as fast as before.

    Args:
        orders: what operators order meanwhile.
    """
    world = World(seed, webs=2, workers=3, pipelines=pipelines)
    served = pipelines or ("default",)
    await world.settle(2)
    trouble = asyncio.create_task(world.trouble(ROUNDS, orders=orders))
    ends = await asyncio.gather(*(_send_one(world, number, served) for number in range(CLIENTS)))
    unlucky = [end for end in ends if end]
    # Their hosts were killed twice while they ran alone (rule 8): two rounds for each, since a host runs one of them.
    assert {outcome for _, outcome in unlucky} <= {WorkerLost.code}, unlucky
    assert len(unlucky) <= ROUNDS // 2, unlucky
    await trouble
    for pipeline in world.unloaded:
        world.order(pipeline, "load")
    await world.settle(60)
    assert world.leftovers() == []
    healed = [(pipeline, f"healed-{number}") for number in range(15) for pipeline in served]
    answers = await asyncio.gather(*(world.ask(text, pipeline=of, deadline_s=3) for of, text in healed))
    assert answers == [answer(*of) for of in healed]
    for host in world.workers:  # no model is left behind, and none was closed twice
        assert {model.closed for model in world.models[host]} <= {0, 1}
        assert sum(not model.closed for model in world.models[host]) == len(served)


async def _send_one(world: World, number: int, pipelines: Sequence[str]) -> tuple[str, str] | None:
    """Send some input to some pipeline at some time, and sometimes cancel it.

    Returns the input and its outcome if that is wrong. A request in a hurry may end at its deadline.
    """
    rng, clock = world.rng, asyncio.get_running_loop().time
    await asyncio.sleep(rng.uniform(0, 15))
    pipeline, [kind] = rng.choice(pipelines), rng.choices(list(KINDS), list(KINDS.values()))
    text = f"{kind}-{number}"
    hurried = rng.random() < 0.1
    deadline_s = rng.uniform(0.1, 20) if hurried else ENOUGH_S
    began = clock()
    asking = asyncio.create_task(
        outcome_of(world, text, deadline_s=deadline_s, web=rng.randrange(len(world.webs)), pipeline=pipeline)
    )
    if rng.random() < 0.1:
        asyncio.get_running_loop().call_later(rng.uniform(0, 1), asking.cancel)
    try:
        outcome = await asking
    except asyncio.CancelledError:
        return None
    assert clock() <= began + deadline_s
    if outcome == NotLoaded.code and world.may_be_unloaded(pipeline, began):
        return None
    harm = WorkerLost.code
    right = {"good": answer(pipeline, text), "bad": Invalid.code, "poison": harm, "hang": harm}[kind]
    return None if outcome == right or (hurried and outcome == DeadlineExceeded.code) else (text, outcome)
