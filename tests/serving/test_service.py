"""What a request goes through in the web process, with a dispatcher that is told what to do."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from inference.conf import Conf
from inference.errors import EmptyInput, Internal, Invalid, WorkerLost
from inference.messaging.messages import Description, Result, Token
from inference.request_log.writer import RequestLog
from inference.scheduling.calls import NO_EVENTS, Answer, Events, Superseded, Work
from inference.scheduling.dispatcher import Dispatcher
from inference.serving.context import RequestContext
from inference.serving.progress import Progress
from inference.serving.query import Query
from inference.serving.service import SILENT, Service
from tests import virtual_time
from tests.messaging.recording_layer import RecordingLayer
from tests.scheduling.test_worker_registry import DESCRIPTION

ANSWER = Answer(Result(0, b'"an answer"', 0.0, 0.0, 1), "w", waited_ms=0.0, times_sent=1)
GENERATING = msgspec.structs.replace(DESCRIPTION, task="text-generation", streams=True, longest_input_chars=1000)


def version(number: int, description: Description = DESCRIPTION, **fields: Any) -> Description:
    return msgspec.structs.replace(description, version=str(number), mask_token="", **fields)


class Changing(Dispatcher):
    """Serves one version after the other; the first call of each but the last is superseded."""

    def __init__(self, *versions: Description, tells: Callable[[Any], None] | None = None) -> None:
        super().__init__(RecordingLayer())
        self._served = list(versions)
        self._tells = tells
        self.ran: list[str] = []

    async def description(self, deadline_at: float) -> Description:
        return self._served[0]

    async def run(self, work: Work, events: Events = NO_EVENTS) -> list[Answer]:
        self.ran.append(work.version)
        if len(self._served) > 1:
            self._served.pop(0)
            if self._tells is not None:
                self._tells(events.token)
            raise Superseded
        return [ANSWER]


def service_of(dispatcher: Dispatcher) -> Service:
    return Service(Conf(), dispatcher, RequestLog())


def query(text: str = "a text", **fields: Any) -> Query:
    return Query(inputs=[text], many=False, **fields)


async def ask(service: Service, asked: Query, progress: Progress = SILENT) -> list[bytes]:
    return (await service.answer(RequestContext(transport="python"), lambda: asked, progress)).outputs


class Counting(Progress):
    """How often a request was admitted."""

    admissions = 0

    def admitted(self) -> None:
        self.admissions += 1


def test_requests_that_wait_for_the_first_worker_are_answered_before_the_process_ends():
    async def scenario():
        service = service_of(Dispatcher(RecordingLayer()))
        asking = asyncio.create_task(ask(service, query()))
        await asyncio.sleep(1)
        await service.drain(timeout_s=5)
        assert asking.done(), "the process may end now"
        with pytest.raises(Internal, match="The server stopped"):
            await asking

    virtual_time.run(scenario())


async def test_an_empty_list_is_refused_before_anything_is_known_about_the_model():
    service = service_of(Dispatcher(RecordingLayer()))
    with pytest.raises(EmptyInput):
        await ask(service, Query(inputs=[], many=True))
    assert service.admission.pending_inputs == 0


async def test_a_call_of_a_version_that_has_gone_runs_with_the_next_one():
    dispatcher, progress = Changing(version(1), version(2)), Counting()
    assert await ask(service_of(dispatcher), query(), progress) == [ANSWER.result.output]
    assert (dispatcher.ran, progress.admissions) == (["1", "2"], 1)


async def test_it_is_validated_anew():
    dispatcher = Changing(version(1), version(2, longest_input_chars=3))
    with pytest.raises(Invalid, match="has 6 characters"):
        await ask(service_of(dispatcher), query())
    assert dispatcher.ran == ["1"]


async def test_a_text_that_has_begun_is_not_continued_by_another_model():
    def tell(hear: Callable[[Token], None]) -> None:
        hear(Token(0, 0, 1, "so", -0.1))

    dispatcher = Changing(version(1, GENERATING), version(2, GENERATING), tells=tell)
    with pytest.raises(WorkerLost, match="was replaced"):
        await ask(service_of(dispatcher), query(stream=True, tokens_for="stream"))
    assert dispatcher.ran == ["1"]


async def test_a_text_that_has_not_begun_is_made_by_the_next_model():
    dispatcher = Changing(version(1, GENERATING), version(2, GENERATING))
    assert await ask(service_of(dispatcher), query(stream=True, tokens_for="stream")) == [ANSWER.result.output]
