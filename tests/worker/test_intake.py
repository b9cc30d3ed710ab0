import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from inference.catalog import PipelineSpec
from inference.conf import Conf
from inference.messaging.messages import (
    DEFAULT_PIPELINE,
    RELEASE,
    Cancel,
    Cleared,
    Closing,
    CostModel,
    Event,
    Facts,
    Go,
    Hello,
    HostStatus,
    Job,
    Message,
    Replies,
    Result,
    Returned,
    Started,
    Submit,
    Token,
    Totals,
    Want,
    WorkerStatus,
)
from inference.messaging.previous_release import Status
from inference.worker.executors import Executors
from inference.worker.intake import FORGET_WEB_AFTER_PERIODS, FORGET_WEB_AFTER_S, Intake
from inference.worker.item import JobReplies
from inference.worker.job_runner import GO_TIMEOUT_S, JobRunner
from inference.worker.pipeline_worker import CREDIT_BYTES, PipelineWorker
from inference.worker.turns import Turns
from tests.messaging.recording_layer import RecordingLayer
from tests.virtual_time import run
from tests.worker.bench import BATCH_S, ControlledPipeline, VirtualThread, answer_to

A, B = "inference.web.a", "inference.web.b"
CREDIT = 4


class Part(PipelineWorker):
    """A worker with a controlled pipeline, whose batches of two take ``BATCH_S``."""

    def __init__(self, name: str, credit: int, warm_up_costs: Sequence[tuple[int, int, float]]) -> None:
        super().__init__(PipelineSpec(name, Conf(max_batch_size=2)))
        self._total_credit = credit
        self.controlled = ControlledPipeline(warm_up_costs=warm_up_costs)

    def start(self, turns: Turns, replies: JobReplies) -> "asyncio.Task[None]":
        return asyncio.create_task(self.open(self.controlled, turns.join(), replies).run())

    @property
    def batcher(self) -> JobRunner:
        assert self.runner is not None
        return self.runner

    def _most(self) -> int:
        return self._total_credit


class Host:
    """An intake over workers that take turns on one thread, and what web processes hear of it."""

    def __init__(
        self,
        credit: int = CREDIT,
        names: Sequence[str] = (DEFAULT_PIPELINE,),
        warm_up_costs: Sequence[tuple[int, int, float]] = (),
    ) -> None:
        self.layer = RecordingLayer()
        self.parts = {name: Part(name, credit, warm_up_costs) for name in names}
        self.first = self.parts[names[0]]
        self.intake = Intake(self.layer, "w", "inference.worker.w")
        for part in self.parts.values():
            self.intake.add(part)
        self.turns = Turns(Executors(VirtualThread(0), VirtualThread()))
        self.running: list[asyncio.Task[None]] = []

    @property
    def pipeline(self) -> ControlledPipeline:
        return self.first.controlled

    def open(self) -> None:
        self.running += [part.start(self.turns, self.intake) for part in self.parts.values()]
        self.intake.state = "ready"
        self.intake.changed()

    def hello(self, web: str = A, n: int = 1, release: int = RELEASE, **fields: Any) -> None:
        self.intake.hello(Hello(web, n, release=release, **fields))

    def submit(self, *ids: int, web: str = A, worker: str | None = None, **fields: Any) -> None:
        """To the first worker, unless its id is given."""
        to = self.first.id if worker is None else worker
        self.intake.submit(Submit(web, tuple(job(job_id, **fields) for job_id in ids), to))

    def cancel(self, *ids: int, web: str = A) -> None:
        self.intake.cancel(Cancel(web, ids))

    def said(self, web: str = A) -> list[Message | Status]:
        return self.layer.said_to(web)

    def entries(self, web: str = A) -> list[Event | Closing]:
        return [entry for message in self.said(web) if isinstance(message, Replies) for entry in message.entries]

    def closings(self, web: str = A) -> dict[int, str]:
        """By job: what it ended in."""
        closed: dict[int, str] = {}
        for entry in self.entries(web):
            if not isinstance(entry, Started | Cleared | Token):
                assert entry.id not in closed, "a job has one closing entry"
                closed[entry.id] = entry.reason if isinstance(entry, Returned) else type(entry).__name__
        return closed

    def statuses(self, web: str = A) -> list[HostStatus]:
        return [message for message in self.said(web) if isinstance(message, HostStatus)]

    def previous_statuses(self, web: str = A) -> list[Status]:
        return [message for message in self.said(web) if isinstance(message, Status)]

    async def status(self, web: str = A, n: int = 1) -> HostStatus:
        """What it says to a hello."""
        count = len(self.statuses(web))
        self.hello(web, n)
        await asyncio.sleep(0.05)
        assert len(self.statuses(web)) > count
        return self.statuses(web)[-1]

    async def of_first(self, web: str = A, n: int = 1) -> WorkerStatus:
        """What it says of its first worker."""
        return (await self.status(web, n)).workers[0]

    async def facts(self, *worker_ids: str, web: str = A) -> list[Facts]:
        """What it says to those who want them."""
        self.intake.want(Want(web, worker_ids))
        await asyncio.sleep(0.05)
        return [message for message in self.said(web) if isinstance(message, Facts)]


def job(job_id: int, **fields: Any) -> Job:
    known: dict[str, Any] = {"request_id": "r", "input": f"text {job_id}", "parameters": {}, "time_left_s": 60.0}
    return Job(id=job_id, **(known | fields))


@asynccontextmanager
async def worker(
    credit: int = CREDIT,
    names: Sequence[str] = (DEFAULT_PIPELINE,),
    *,
    opened: bool = True,
    warm_up_costs: Sequence[tuple[int, int, float]] = (),
) -> AsyncIterator[Host]:
    started = Host(credit, names, warm_up_costs)
    if opened:
        started.open()
    try:
        yield started
    finally:
        for running in started.running:
            running.cancel()
        started.intake.stop()
        await asyncio.gather(*started.running, return_exceptions=True)


# Hello and status


def test_a_hello_is_answered_with_a_status():
    async def main() -> None:
        async with worker() as w:
            of_worker = WorkerStatus(
                worker=w.first.id,
                pipeline=DEFAULT_PIPELINE,
                version=w.pipeline.description.version,
                state="ready",
                reason="",
                credit=CREDIT,
                credit_bytes=CREDIT_BYTES,
                queue_depth=0,
                share=1.0,
                job_ms=0,
                cost=CostModel(fixed_ms=0, per_job_ms=0, per_token_ms=0),
                totals=Totals(),
                facts_n=1,
                generation=0,
            )
            assert await w.status(n=3) == HostStatus(
                host="w",
                channel="inference.worker.w",
                heard=3,
                state="ready",
                webs=1,
                held=(),
                workers=(of_worker,),
            )
            assert await w.facts(w.first.id) == [Facts("w", w.first.id, 1, w.pipeline.description)]

    run(main())


def test_a_worker_that_loads_says_so_and_offers_no_credit():
    async def main() -> None:
        async with worker(opened=False) as w:
            w.first.report("downloading")
            status = await w.status()
            [said] = status.workers
            assert (status.state, said.state, said.reason) == ("starting", "starting", "downloading")
            assert (said.credit, said.version, said.facts_n) == (0, "", 0)
            assert (said.queue_depth, said.cost, said.job_ms, said.totals) == (0, None, 0, Totals())
            assert await w.facts(w.first.id) == []

    run(main())


def test_a_worker_that_has_loaded_tells_every_web_process():
    async def main() -> None:
        async with worker(opened=False) as w:
            await w.status(A)
            await w.status(B)
            w.open()
            await asyncio.sleep(0.05)
            assert [w.statuses(web)[-1].state for web in (A, B)] == ["ready", "ready"]
            assert [w.statuses(web)[-1].workers[0].state for web in (A, B)] == ["ready", "ready"]

    run(main())


def test_the_newest_hello_is_the_one_that_was_heard():
    async def main() -> None:
        async with worker() as w:
            await w.status(n=5)
            assert (await w.status(n=4)).heard == 5

    run(main())


def test_a_status_says_what_waits_and_what_is_held_for_whom():
    async def main() -> None:
        async with worker(credit=8) as w:
            w.submit(1, 2, 3)
            w.submit(7, web=B)
            await asyncio.sleep(BATCH_S / 2)  # two run
            status = await w.status(A)
            assert (status.workers[0].queue_depth, set(status.held)) == (2, {1, 2, 3})
            assert (await w.status(B)).held == (7,)

    run(main())


@pytest.mark.parametrize(("credit", "webs", "share"), [(4, 1, 4), (4, 2, 2), (5, 2, 2), (4, 3, 1), (2, 5, 1)])
def test_web_processes_share_the_credit(credit: int, webs: int, share: int):
    async def main() -> None:
        async with worker(credit) as w:
            names = [f"inference.web.{number}" for number in range(webs)]
            for name in names:
                await w.status(name)
            status = await w.status(names[0])
            assert (status.workers[0].credit, status.webs) == (share, webs)

    run(main())


def test_a_status_says_what_was_learned_and_done():
    async def main() -> None:
        async with worker(credit=8) as w:
            w.submit(1, 2, 3)
            await asyncio.sleep(3 * BATCH_S)
            said = await w.of_first()
            cost = w.first.batcher.cost
            assert said.totals == Totals(batches=2, jobs=3, tokens=3, padded_tokens=3)
            assert said.cost == cost.model != CostModel(fixed_ms=0, per_job_ms=0, per_token_ms=0)
            assert said.job_ms == cost.job_ms > 0

    run(main())


@pytest.mark.parametrize(
    ("job_ms", "credit"), [(1, 64), (15.625, 64), (20, 50), (100, 10), (400, 2), (500, 2), (900, 2), (5000, 2)]
)
def test_a_worker_takes_no_more_than_a_second_of_work_beforehand_and_never_below_two_jobs(job_ms: float, credit: int):
    async def main() -> None:
        async with worker(64, warm_up_costs=[(1, 1, 2 * job_ms), (1, 64, 2 * job_ms)]) as w:
            said = await w.of_first()
            assert (said.job_ms, said.credit) == (job_ms, credit)

    run(main())


def test_web_processes_share_a_second_of_work():
    async def main() -> None:
        async with worker(64, warm_up_costs=[(1, 1, 200), (1, 64, 200)]) as w:
            await w.status(A)
            assert [(await w.of_first(web)).credit for web in (A, B)] == [10, 5]
            assert (await w.of_first(A)).credit == 5

    run(main())


def test_what_is_not_tokenised_yet_waits_and_is_held():
    async def main() -> None:
        async with worker(credit=8) as w:
            w.submit(1, 2, 3)
            assert (w.first.batcher.depth, w.intake.held) == (3, 3)
            w.intake.enter("draining")
            await w.intake.emptied()
            assert w.closings() == dict.fromkeys((1, 2, 3), "draining")
            assert w.pipeline.tokenized == w.pipeline.batches == []

    run(main())


def test_a_status_is_made_when_it_is_sent():
    async def main() -> None:
        async with worker() as w:
            await w.status()
            w.layer.refusing = True
            w.hello(n=2)
            await asyncio.sleep(1)
            w.hello(n=9)
            w.layer.refusing = False
            await asyncio.sleep(2)
            assert [status.heard for status in w.statuses()[1:]] == [9, 9]

    run(main())


# Jobs


def test_each_job_has_one_answer():
    async def main() -> None:
        async with worker() as w:
            w.submit(1, 2, 3)
            await asyncio.sleep(3 * BATCH_S)
            results = [entry for entry in w.entries() if isinstance(entry, Result)]
            assert [entry.id for entry in results] == [1, 2, 3]
            assert [entry.output for entry in results] == [answer_to(f"text {job_id}") for job_id in (1, 2, 3)]

    run(main())


def test_two_web_processes_may_use_the_same_ids():
    async def main() -> None:
        async with worker() as w:
            w.submit(1, web=A, input="of a")
            w.submit(1, web=B, input="of b")
            await asyncio.sleep(3 * BATCH_S)
            outputs = [entry.output for web in (A, B) for entry in w.entries(web) if isinstance(entry, Result)]
            assert outputs == [answer_to("of a"), answer_to("of b")]

    run(main())


def test_a_job_that_is_delivered_twice_is_held_and_run_once():
    async def main() -> None:
        async with worker() as w:
            w.submit(1)
            w.submit(1, 1)
            assert w.intake.held == 1
            await asyncio.sleep(BATCH_S / 2)
            w.submit(1)
            await asyncio.sleep(3 * BATCH_S)
            assert w.closings() == {1: "Result"}
            assert w.pipeline.batches == [["text 1"]]

    run(main())


def test_a_job_whose_answer_was_not_taken_yet_does_not_run_again():
    async def main() -> None:
        async with worker() as w:
            w.submit(1)
            w.layer.refusing = True
            await asyncio.sleep(3 * BATCH_S)
            w.submit(1)
            await asyncio.sleep(3 * BATCH_S)
            w.layer.refusing = False
            await asyncio.sleep(2)
            assert w.closings() == {1: "Result"}
            assert w.pipeline.batches == [["text 1"]]

    run(main())


@pytest.mark.parametrize("fault", ["refusing", "frozen"])
def test_an_id_is_held_until_the_layer_took_its_closing_entry(fault: str):
    async def main() -> None:
        async with worker() as w:
            w.submit(1)
            setattr(w.layer, fault, True)
            await asyncio.sleep(10)
            held_before = w.intake.held
            setattr(w.layer, fault, False)
            await asyncio.sleep(5)
            assert (held_before, w.intake.held) == (1, 0)
            assert w.closings() == {1: "Result"}

    run(main())


def test_an_id_is_free_once_the_layer_took_its_closing_entry_even_if_it_then_loses_it():
    async def main() -> None:
        async with worker() as w:
            w.submit(1)
            w.layer.losing = True
            await asyncio.sleep(2 * BATCH_S)
            w.layer.losing = False
            assert w.closings() == {}
            assert (await w.status()).held == ()

    run(main())


def test_no_status_forgets_a_job_before_its_answer():
    async def main() -> None:
        async with worker() as w:
            w.layer.delay_s = 0.03
            w.submit(1, 2, 3, 4)
            for n in range(100):
                w.hello(n=n)
                await asyncio.sleep(0.02)
            answered: set[int] = set()
            for message in w.said():
                if isinstance(message, Replies):
                    answered |= {entry.id for entry in message.entries if not isinstance(entry, Started | Token)}
                elif isinstance(message, HostStatus):
                    assert set(message.held) | answered == {1, 2, 3, 4}
            assert answered == {1, 2, 3, 4}

    run(main())


def test_a_start_is_told_before_the_answer():
    async def main() -> None:
        async with worker() as w:
            w.submit(1, 2, events=True)
            await asyncio.sleep(2 * BATCH_S)
            kinds = [(type(entry), entry.id) for entry in w.entries()]
            assert kinds == [(Started, 1), (Started, 2), (Result, 1), (Result, 2)]

    run(main())


# Bounds


def test_what_is_beyond_twice_the_credit_is_given_back():
    async def main() -> None:
        async with worker(credit=2) as w:
            w.submit(1, 2, 3, 4, 5, 6)
            await asyncio.sleep(5 * BATCH_S)
            assert w.closings() == {5: "full", 6: "full", 1: "Result", 2: "Result", 3: "Result", 4: "Result"}

    run(main())


def test_the_bound_counts_the_jobs_of_all_web_processes():
    async def main() -> None:
        async with worker(credit=2) as w:
            w.submit(1, 2, 3, web=A)
            w.submit(1, 2, web=B)
            await asyncio.sleep(5 * BATCH_S)
            assert w.closings(B) == {2: "full", 1: "Result"}

    run(main())


def test_a_full_intake_takes_again_when_it_has_answered():
    async def main() -> None:
        async with worker(credit=1) as w:
            w.submit(1, 2, 3)
            await asyncio.sleep(3 * BATCH_S)
            w.submit(4)
            await asyncio.sleep(3 * BATCH_S)
            assert w.closings() == {3: "full", 1: "Result", 2: "Result", 4: "Result"}

    run(main())


def test_what_comes_while_the_worker_loads_is_given_back():
    async def main() -> None:
        async with worker(opened=False) as w:
            w.submit(1)
            w.cancel(1)
            w.intake.go(Go(A, 1))
            await asyncio.sleep(0.05)
            assert w.closings() == {1: "full"}

    run(main())


# Cancel, alone, go


def test_a_cancelled_job_that_waits_is_given_back_and_does_not_run():
    async def main() -> None:
        async with worker() as w:
            w.submit(1, 2, 3)
            await asyncio.sleep(BATCH_S / 2)
            w.cancel(3, 99)
            await asyncio.sleep(3 * BATCH_S)
            assert w.closings() == {3: "cancelled", 1: "Result", 2: "Result"}
            assert w.pipeline.batches == [["text 1", "text 2"]]

    run(main())


def test_a_web_process_cannot_cancel_the_job_of_another():
    async def main() -> None:
        async with worker() as w:
            w.submit(1, web=A)
            w.cancel(1, web=B)
            await asyncio.sleep(2 * BATCH_S)
            assert w.closings(A) == {1: "Result"}

    run(main())


def test_an_alone_job_runs_after_go():
    async def main() -> None:
        async with worker() as w:
            w.submit(1, alone=True)
            w.submit(2)
            await asyncio.sleep(GO_TIMEOUT_S / 2)
            assert w.entries() == [Started(1, 1)]
            w.intake.go(Go(A, 1))
            await asyncio.sleep(3 * BATCH_S)
            assert w.closings() == {1: "Result", 2: "Result"}
            assert w.pipeline.batches == [["text 1"], ["text 2"]]

    run(main())


@pytest.mark.parametrize("go", [Go(A, 2), Go(B, 1)], ids=["of another job", "of another web process"])
def test_any_other_go_is_none(go: Go):
    async def main() -> None:
        async with worker() as w:
            w.submit(1, alone=True)
            await asyncio.sleep(GO_TIMEOUT_S / 2)
            w.intake.go(go)
            await asyncio.sleep(GO_TIMEOUT_S)
            assert w.closings() == {1: "no_go"}
            assert w.pipeline.batches == []

    run(main())


def test_a_held_job_that_is_sent_again_as_alone_runs_alone():
    async def main() -> None:
        async with worker() as w:
            w.submit(1, 2)
            await asyncio.sleep(BATCH_S / 2)
            w.submit(3, 4)
            w.submit(3, alone=True)
            await asyncio.sleep(BATCH_S)
            w.intake.go(Go(A, 3))
            await asyncio.sleep(3 * BATCH_S)
            assert w.pipeline.batches == [["text 1", "text 2"], ["text 3"], ["text 4"]]
            assert w.closings() == dict.fromkeys((1, 2, 3, 4), "Result")

    run(main())


def test_a_held_job_that_is_sent_again_stays_alone():
    async def main() -> None:
        async with worker() as w:
            w.submit(1, 2)
            await asyncio.sleep(BATCH_S / 2)
            w.submit(3, alone=True)
            w.submit(3, alone=False)
            await asyncio.sleep(BATCH_S + GO_TIMEOUT_S)
            assert w.closings() == {1: "Result", 2: "Result", 3: "no_go"}

    run(main())


# Draining


def test_draining_gives_back_what_has_not_started_and_finishes_the_rest():
    async def main() -> None:
        async with worker() as w:
            w.submit(1, 2, 3, 4)
            await asyncio.sleep(BATCH_S / 2)
            w.intake.enter("draining")
            await w.intake.emptied()
            assert w.closings() == {3: "draining", 4: "draining", 1: "Result", 2: "Result"}
            assert w.pipeline.batches == [["text 1", "text 2"]]

    run(main())


def test_what_still_arrives_at_a_draining_worker_is_given_back():
    async def main() -> None:
        async with worker() as w:
            w.intake.enter("draining")
            w.submit(1)
            await w.intake.emptied()
            assert w.closings() == {1: "draining"}
            assert w.pipeline.batches == []

    run(main())


def test_what_arrives_at_a_stopped_worker_is_given_back():
    async def main() -> None:
        async with worker() as w:
            w.intake.enter("draining")
            w.intake.enter("stopped")
            w.submit(1)
            await w.intake.emptied()
            assert list(w.closings()) == [1]
            assert w.pipeline.batches == []

    run(main())


@pytest.mark.parametrize("state", ["draining", "stopped"])
def test_a_worker_that_stops_says_so_and_offers_no_credit(state: Any):
    async def main() -> None:
        async with worker() as w:
            await w.status(A)
            await w.status(B)
            w.intake.enter(state)
            await w.intake.emptied()
            for web in (A, B):
                status = w.statuses(web)[-1]
                assert (status.state, status.workers[0].state, status.workers[0].credit) == (state, state, 0)

    run(main())


def test_a_worker_is_empty_when_the_layer_has_taken_everything():
    async def main() -> None:
        async with worker() as w:
            w.submit(1)
            w.layer.refusing = True
            w.intake.enter("draining")
            emptied = asyncio.create_task(w.intake.emptied())
            await asyncio.sleep(10)
            assert not emptied.done()
            w.layer.refusing = False
            await emptied
            assert list(w.closings()) == [1]
            assert w.statuses()[-1].state == "draining"

    run(main())


def test_a_worker_without_messages_is_empty():
    async def main() -> None:
        async with worker() as w:
            await asyncio.wait_for(w.intake.emptied(), 1)
            assert w.intake.held == 0

    run(main())


def test_a_closed_intake_says_nothing_more():
    async def main() -> None:
        async with worker() as w:
            await w.status()
            count = len(w.said())
            w.intake.stop()
            w.submit(1)
            await asyncio.sleep(10)
            assert len(w.said()) == count

    run(main())


# Silent web processes


def test_a_web_process_that_was_silent_for_long_is_forgotten_with_its_jobs():
    async def main() -> None:
        async with worker(credit=8) as w:
            w.submit(1, 2, alone=True, web=B)
            w.layer.refusing = True  # so that B's jobs stay held whatever becomes of them
            await asyncio.sleep(FORGET_WEB_AFTER_S + 1)
            w.layer.refusing = False
            assert w.intake.held == 2
            status = await w.status(A)
            assert (w.intake.held, status.webs, status.workers[0].credit) == (0, 1, 8)
            await asyncio.sleep(10)
            assert w.said(B) == []

    run(main())


def test_the_waiting_jobs_of_a_forgotten_web_process_never_run():
    async def main() -> None:
        async with worker(credit=200) as w:
            count = int(2 * FORGET_WEB_AFTER_S / BATCH_S) + 40
            w.submit(*range(count), web=B)
            await asyncio.sleep(FORGET_WEB_AFTER_S + 0.1)
            ran = sum(map(len, w.pipeline.batches)) + 2  # and the batch that is in the model now
            w.hello(A)
            await asyncio.sleep(100)
            assert sum(map(len, w.pipeline.batches)) == ran < count
            assert (w.intake.held, w.first.batcher.depth) == (0, 0)

    run(main())


@pytest.mark.parametrize("sign", ["hello", "submit"])
def test_a_web_process_that_gives_a_sign_of_life_is_not_forgotten(sign: str):
    async def main() -> None:
        async with worker() as w:
            for n in range(4):
                if sign == "hello":
                    w.hello(B, n)
                else:
                    w.submit(n, web=B)
                await asyncio.sleep(FORGET_WEB_AFTER_S - 1)
                assert (await w.status(A, n)).webs == 2

    run(main())


def test_a_forgotten_web_process_that_comes_back_is_met_anew():
    async def main() -> None:
        async with worker() as w:
            await w.status(B, n=7)
            await asyncio.sleep(FORGET_WEB_AFTER_S + 1)
            await w.status(A)
            status = await w.status(B, n=1)
            assert (status.heard, status.webs) == (1, 2)
            w.submit(1, web=B)
            await asyncio.sleep(2 * BATCH_S)
            assert w.closings(B) == {1: "Result"}

    run(main())


def test_a_web_process_that_says_hello_rarely_is_waited_for_longer():
    async def main() -> None:
        async with worker() as w:
            period_s = FORGET_WEB_AFTER_S
            w.hello(B, period_s=period_s)
            await asyncio.sleep(FORGET_WEB_AFTER_PERIODS * period_s - 1)
            assert (await w.status(A)).webs == 2
            await asyncio.sleep(2)
            assert (await w.status(A)).webs == 1

    run(main())


def test_for_a_process_that_only_looks_no_credit_is_kept():
    async def main() -> None:
        async with worker() as w:
            w.hello(B, observes=True)
            status = await w.status(A)
            assert (status.webs, status.workers[0].credit) == (1, CREDIT)
            [said] = w.statuses(B)
            assert [part.state for part in said.workers] == ["ready"]

    run(main())


# Several workers


def test_a_job_goes_to_the_worker_that_is_named_and_a_status_tells_of_each():
    async def main() -> None:
        async with worker(credit=8, names=("a", "b")) as w:
            a, b = w.parts.values()
            w.submit(1, 2, worker=a.id)
            w.submit(3, 4, 5, worker=b.id)
            await asyncio.sleep(BATCH_S / 2)
            status = await w.status()
            assert [(said.worker, said.pipeline, said.state) for said in status.workers] == [
                (a.id, "a", "ready"),
                (b.id, "b", "ready"),
            ]
            assert [said.queue_depth for said in status.workers] == [0, 3], "the other one is in the model"
            assert set(status.held) == {1, 2, 3, 4, 5}
            await asyncio.sleep(4 * BATCH_S)
            assert w.closings() == dict.fromkeys(range(1, 6), "Result")
            assert a.controlled.batches == [["text 1", "text 2"]]
            assert [text for batch in b.controlled.batches for text in batch] == ["text 3", "text 4", "text 5"]

    run(main())


def test_a_job_for_a_worker_that_is_not_there_is_given_back():
    """It was one of an earlier start of this host's process."""

    async def main() -> None:
        async with worker() as w:
            w.submit(1, worker="gone")
            await asyncio.sleep(0.05)
            assert (w.closings(), w.intake.held, w.pipeline.tokenized) == ({1: "full"}, 0, [])

    run(main())


def test_a_worker_that_is_full_leaves_the_other_its_room():
    async def main() -> None:
        async with worker(credit=1, names=("a", "b")) as w:
            a, b = w.parts.values()
            w.submit(1, 2, 3, worker=a.id)
            w.submit(4, 5, worker=b.id)
            await asyncio.sleep(0.05)
            assert w.closings() == {3: "full"}
            assert (a.held, b.held) == (2, 2)
            await asyncio.sleep(4 * BATCH_S)
            assert (a.held, b.held, w.intake.held) == (0, 0, 0)

    run(main())


def test_each_message_about_a_job_reaches_the_worker_that_holds_it():
    async def main() -> None:
        async with worker(names=("a", "b")) as w:
            a, b = w.parts.values()
            w.submit(1, worker=a.id)
            w.submit(2, 3, worker=b.id)
            await asyncio.sleep(BATCH_S / 2)
            w.cancel(3)
            w.submit(2, worker=b.id, alone=True)
            await asyncio.sleep(BATCH_S)
            w.intake.go(Go(A, 2))
            await asyncio.sleep(2 * BATCH_S)
            assert w.closings() == {1: "Result", 2: "Result", 3: "cancelled"}
            assert [entry.id for entry in w.entries() if isinstance(entry, Started)] == [2]
            assert b.controlled.batches == [["text 2"]]

    run(main())


def test_a_worker_that_failed_says_why_and_takes_nothing():
    async def main() -> None:
        async with worker(names=("a", "b")) as w:
            a, b = w.parts.values()
            b.fail("There is no such model.")
            w.submit(1, worker=b.id)
            w.submit(2, worker=a.id)
            status = await w.status()
            said = status.workers[1]
            assert status.state == "ready"
            assert (said.state, said.reason, said.credit) == ("failed", "There is no such model.", 0)
            await asyncio.sleep(2 * BATCH_S)
            assert w.closings() == {1: "full", 2: "Result"}

    run(main())


def test_draining_drains_every_worker():
    async def main() -> None:
        async with worker(names=("a", "b")) as w:
            a, b = w.parts.values()
            w.submit(1, 2, 3, worker=a.id)
            w.submit(4, worker=b.id)
            await asyncio.sleep(BATCH_S / 2)
            w.intake.enter("draining")
            await w.intake.emptied()
            assert w.closings() == {1: "Result", 2: "Result", 3: "draining", 4: "draining"}
            assert [said.state for said in w.statuses()[-1].workers] == ["draining"] * 2

    run(main())


def test_each_worker_that_is_wanted_is_described_once():
    async def main() -> None:
        async with worker(names=("a", "b", "c")) as w:
            a, b, _ = w.parts.values()
            w.intake.want(Want(A, (a.id, "unknown", a.id)))
            assert await w.facts(b.id) == [
                Facts("w", a.id, 1, a.controlled.description),
                Facts("w", b.id, 1, b.controlled.description),
            ]

    run(main())


def test_a_worker_that_gets_half_of_the_time_offers_half_of_a_second_of_work():
    async def main() -> None:
        costs = [(1, 1, 100.0), (1, 64, 100.0)]
        async with worker(credit=64, names=("a", "b"), warm_up_costs=costs) as w:
            a, b = w.parts.values()
            assert [said.credit for said in (await w.status()).workers] == [20, 20]
            w.submit(*range(40), worker=a.id)
            w.submit(*range(40, 80), worker=b.id)
            await asyncio.sleep(4.1 * BATCH_S)
            for said, part in zip((await w.status()).workers, (a, b), strict=True):
                assert said.share == pytest.approx(0.5, abs=0.01)
                assert said.credit == int(0.5 * part.batcher.credit) < part.batcher.credit

    run(main())


# The release before


def test_a_web_process_of_the_release_before_gets_a_status_that_it_understands():
    async def main() -> None:
        async with worker(names=("other", DEFAULT_PIPELINE)) as w:
            w.hello(A, n=3, release=1)
            w.hello(B, n=4)
            await asyncio.sleep(0.05)
            assert w.said(A) == [
                Status(
                    worker="w",
                    channel="inference.worker.w",
                    heard=3,
                    state="ready",
                    description=w.parts[DEFAULT_PIPELINE].controlled.description,
                    queue_depth=0,
                    cost=CostModel(fixed_ms=0, per_job_ms=0, per_token_ms=0),
                    job_ms=0,
                    totals=Totals(),
                    webs=2,
                    credit=CREDIT // 2,
                    held=(),
                )
            ]
            assert [type(message) for message in w.said(B)] == [HostStatus]
            w.intake.enter("draining")
            await w.intake.emptied()
            assert w.previous_statuses(A)[-1].state == w.statuses(B)[-1].state == "draining"
            assert (w.statuses(A), w.previous_statuses(B)) == ([], [])

    run(main())


def test_a_job_of_the_release_before_goes_to_the_pipeline_that_it_knows():
    async def main() -> None:
        async with worker(names=("other", DEFAULT_PIPELINE)) as w:
            w.hello(A, release=1)
            w.submit(1, worker="")
            await asyncio.sleep(2 * BATCH_S)
            assert w.closings() == {1: "Result"}
            assert w.parts[DEFAULT_PIPELINE].controlled.batches == [["text 1"]]
            assert w.parts["other"].controlled.batches == []

    run(main())


def test_the_release_before_hears_nothing_of_a_host_without_the_pipeline_that_it_knows():
    async def main() -> None:
        async with worker(names=("chat", "topics")) as w:
            w.hello(A, release=1)
            await asyncio.sleep(0.05)
            assert w.said(A) == []
            w.submit(1, worker="")
            await asyncio.sleep(0.05)
            assert w.closings() == {1: "full"}

    run(main())


def test_to_the_release_before_a_pipeline_that_failed_is_starting():
    async def main() -> None:
        async with worker(names=(DEFAULT_PIPELINE, "other"), opened=False) as w:
            w.first.fail("There is no such model.")
            w.hello(A, release=1)
            await asyncio.sleep(0.05)
            assert [(said.state, said.credit) for said in w.previous_statuses()] == [("starting", 0)]

    run(main())


@pytest.mark.parametrize("sign", ["submit", "want"])
def test_a_web_process_that_uses_this_release_speaks_it_before_its_first_hello(sign: str):
    """The hello may be lost, or the host have forgotten the web process."""

    async def main() -> None:
        async with worker() as w:
            if sign == "submit":
                w.submit(1)
            else:
                w.intake.want(Want(A, ()))
            w.intake.changed()
            await asyncio.sleep(0.05)
            assert (len(w.statuses()), w.previous_statuses()) == (1, [])

    run(main())


def test_a_web_process_that_is_updated_is_spoken_to_as_it_understands():
    async def main() -> None:
        async with worker() as w:
            w.hello(A, n=1, release=1)
            await asyncio.sleep(0.05)
            w.hello(A, n=2)
            await asyncio.sleep(0.05)
            assert [type(message) for message in w.said()] == [Status, HostStatus]

    run(main())


@pytest.mark.parametrize(("release", "may_clear"), [(1, False), (RELEASE, True), (RELEASE + 1, True)])
def test_only_who_understands_that_a_suspect_is_cleared_is_told_so(release: int, may_clear: bool):
    async def main() -> None:
        async with worker() as w:
            w.hello(A, release=release)
            w.submit(1, worker="" if release == 1 else None)
            [item] = w.first.batcher._arrived.values()
            assert item.may_clear is may_clear

    run(main())
