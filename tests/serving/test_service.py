"""What a request goes through in the web process, with a dispatcher that is told what to do."""

import asyncio
import math
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import AsyncMock

import msgspec
import pytest

from inference import catalog
from inference.access.key_table import KnownKey
from inference.access.principal import Limits, Principal
from inference.conf import Conf
from inference.errors import (
    Draining,
    EmptyInput,
    Forbidden,
    InferenceError,
    Internal,
    Invalid,
    LimitReached,
    Loading,
    NotFound,
    Unauthorized,
    WorkerLost,
)
from inference.messaging.messages import DEFAULT_PIPELINE, Description, Facts, Generation, Result, Token
from inference.request_log.writer import RequestLog
from inference.scheduling.calls import NO_EVENTS, Answer, Events, Superseded, Work
from inference.scheduling.dispatcher import Dispatcher
from inference.scheduling.reading_estimate import GUESSED_BYTES, STRETCH, TOKENS_PER_BYTE
from inference.serving.context import RequestContext
from inference.serving.progress import Progress
from inference.serving.query import Query
from inference.serving.result import Served
from inference.serving.service import SILENT, Service
from inference.tasks.arrays import Array
from tests import virtual_time
from tests.messaging.recording_layer import RecordingLayer
from tests.scheduling.test_host_registry import DESCRIPTION, part, status

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

    async def description(self, deadline_at: float, pipeline: str = DEFAULT_PIPELINE) -> Description:
        return self._served[0]

    async def run(self, work: Work, events: Events = NO_EVENTS) -> list[Answer | InferenceError]:
        self.ran.append(work.version)
        if events.admitted is not None:
            events.admitted()
        if len(self._served) > 1:
            self._served.pop(0)
            if self._tells is not None:
                self._tells(events.token)
            raise Superseded
        return [ANSWER]


def service_of(dispatcher: Dispatcher) -> Service:
    return Service(Conf(), catalog.of(Conf()), dispatcher, RequestLog())


CHAT = {"task": "text-generation", "model": "a/model", "max_pending": 1}
WORDS = {"task": "fill-mask", "model": "a/model", "aliases": ["acme/words"]}


def service_of_two() -> tuple[Service, "Answering"]:
    """Of the pipelines ``chat`` and ``words``."""
    conf = Conf(pipelines={"chat": CHAT, "words": WORDS})
    known = catalog.of(conf)
    dispatcher = Answering(RecordingLayer(), known.names)
    return Service(conf, known, dispatcher, RequestLog()), dispatcher


def query(text: str = "a text", **fields: Any) -> Query:
    return Query(inputs=[text], many=False, **fields)


async def ask(service: Service, asked: Query, progress: Progress = SILENT) -> list[Any]:
    return (await service.answer(RequestContext(transport="python"), lambda: asked, progress)).outputs


class Answering(Dispatcher):
    """Answers at once, and records for which pipeline."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.asked: list[str] = []
        self.inputs: list[Any] = []

    async def description(self, deadline_at: float, pipeline: str = DEFAULT_PIPELINE) -> Description:
        return version(1, GENERATING if pipeline == "chat" else DESCRIPTION)

    async def run(self, work: Work, events: Events = NO_EVENTS) -> list[Answer | InferenceError]:
        self.asked.append(work.pipeline)
        self.inputs += work.inputs
        return [ANSWER] * len(work.inputs)


class Counting(Progress):
    """What is said when a request is admitted."""

    def __init__(self) -> None:
        self.admissions: list[Served] = []

    def admitted(self, served: Served) -> None:
        self.admissions.append(served)


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


async def test_what_is_logged_of_inputs_is_redacted():
    conf = Conf(pipelines={"words": WORDS}, log_redactor="tests.request_log.test_redaction.without_cards")
    known, log = catalog.of(conf), RequestLog()
    service = Service(conf, known, Answering(RecordingLayer(), known.names), log)
    await ask(service, query("4111111111111111 is [MASK]", pipeline="words"))
    with pytest.raises(NotFound):
        await ask(service, query("a text", pipeline="4111111111111111"))
    answered, refused = log._waiting
    assert answered.preview == "[card] is [MASK]"
    assert "[card]" in refused.message
    assert "4111" not in f"{answered} {refused.message} {refused.preview}"


async def test_vectors_come_as_arrays(monkeypatch: pytest.MonkeyPatch):
    array = Answer(Result(0, b"12345678", 0.0, 0.0, 1, shape=(2, 1)), "w", waited_ms=0.0, times_sent=1)
    service, dispatcher = service_of_two()
    monkeypatch.setattr(dispatcher, "run", AsyncMock(return_value=[array, ANSWER]))
    asked = Query(inputs=["a [MASK]", "b [MASK]"], many=True, arrays=True, pipeline="words")
    assert await ask(service, asked) == [Array((2, 1), b"12345678"), b'"an answer"']


async def test_what_is_kept_of_prompts_is_the_owners(monkeypatch: pytest.MonkeyPatch):
    service, dispatcher = service_of_two()
    run = AsyncMock(return_value=[ANSWER])
    monkeypatch.setattr(dispatcher, "run", run)
    for owner in ("", "acme"):
        context = RequestContext(transport="http", principal=Principal(owner=owner))
        await service.answer(context, lambda: Query(inputs=["a [MASK]"], many=False, pipeline="words"))
    assert [call.args[0].cache_scope for call in run.await_args_list] == ["", "acme"]


async def test_an_empty_list_is_refused_before_anything_is_known_about_the_model():
    service = service_of(Dispatcher(RecordingLayer()))
    with pytest.raises(EmptyInput):
        await ask(service, Query(inputs=[], many=True))
    assert service.pending_inputs == 0


async def test_a_call_of_a_version_that_has_gone_runs_with_the_next_one():
    dispatcher, progress = Changing(version(1), version(2)), Counting()
    assert await ask(service_of(dispatcher), query(), progress) == [ANSWER.result.output]
    assert (dispatcher.ran, progress.admissions) == (["1", "2"], [Served("default", "1")])


async def test_it_is_validated_anew():
    dispatcher = Changing(version(1), version(2, longest_input_chars=3))
    with pytest.raises(Invalid, match="has 6 characters"):
        await ask(service_of(dispatcher), query())
    assert dispatcher.ran == ["1"]


async def test_a_text_that_has_begun_is_not_continued_by_another_model():
    def tell(hear: Callable[[int, Token], None]) -> None:
        hear(0, Token(0, 0, 1, "so", -0.1))

    dispatcher = Changing(version(1, GENERATING), version(2, GENERATING), tells=tell)
    with pytest.raises(WorkerLost, match="was replaced"):
        await ask(service_of(dispatcher), query(stream=True, tokens_for="stream"))
    assert dispatcher.ran == ["1"]


async def test_a_text_that_has_not_begun_is_made_by_the_next_model():
    dispatcher = Changing(version(1, GENERATING), version(2, GENERATING))
    assert await ask(service_of(dispatcher), query(stream=True, tokens_for="stream")) == [ANSWER.result.output]


# Several pipelines


async def answered(service: Service, asked: Query, pipeline: str | None) -> Served:
    return (await service.answer(RequestContext(transport="python"), lambda: asked, pipeline=pipeline)).served


@pytest.mark.parametrize(
    ("of_path", "named", "expected"),
    [
        (None, None, "chat"),
        (None, "words", "words"),
        (None, "acme/words", "words"),
        ("words", None, "words"),
        ("words", "words", "words"),
        ("words", "acme/words", "words"),
    ],
)
async def test_a_request_is_for_the_pipeline_that_its_path_or_it_names(
    of_path: str | None, named: str | None, expected: str
):
    service, dispatcher = service_of_two()
    assert await answered(service, query(pipeline=named), of_path) == Served(expected, "1")
    assert dispatcher.asked == [expected]


async def test_a_request_that_names_another_pipeline_than_its_path_is_refused():
    service, dispatcher = service_of_two()
    with pytest.raises(Invalid, match=r"^The path is that of pipeline words, and the request names chat; name one\.$"):
        await answered(service, query(pipeline="chat"), "words")
    assert (dispatcher.asked, Invalid.status) == ([], 422)


@pytest.mark.parametrize("of_path", [None, "words"])
async def test_a_request_that_names_a_pipeline_that_there_is_not_is_refused(of_path: str | None):
    service, dispatcher = service_of_two()
    with pytest.raises(NotFound, match=r"^There is no pipeline 'nobody' here; known are chat, words\.$"):
        await answered(service, query(pipeline="nobody"), of_path)
    assert dispatcher.asked == []


async def test_a_pipeline_without_room_refuses_no_request_for_another():
    service, _ = service_of_two()
    with service.admission("chat").permits(1):
        for of_path, named in (("chat", None), (None, "chat"), (None, None)):
            with pytest.raises(Loading, match="the queue is full"):
                await answered(service, query(pipeline=named), of_path)
        assert (await answered(service, query(), "words")).pipeline == "words"
        assert (await answered(service, query(pipeline="words"), None)).pipeline == "words"
    assert (await answered(service, query(), None)).pipeline == "chat"


async def test_a_request_that_no_pipeline_has_room_for_is_not_read():
    service, _ = service_of_two()
    for admission in service.admissions.values():
        admission.draining = True

    def read() -> Query:
        raise AssertionError("it was read")

    for of_path in (None, "chat", "words"):
        with pytest.raises(Draining):
            await service.answer(RequestContext(transport="python"), read, pipeline=of_path)


async def test_a_process_is_ready_while_one_of_its_pipelines_is():
    service, dispatcher = service_of_two()
    assert service.unready() == service.unready("chat") != ""
    workers = part("a", pipeline="words", facts_n=1), part("b", pipeline="chat", state="starting")
    dispatcher._on_status(status("h", *workers))
    dispatcher._on_facts(Facts("h", "a", 1, DESCRIPTION))
    assert (service.unready(), service.unready("words"), service.unready("chat") == "") == ("", "", False)


async def test_each_pipeline_has_a_state():
    service, dispatcher = service_of_two()
    loading = part("b", pipeline="chat", state="starting", reason="downloading")
    seen = [[(state.name, state.state, state.reason) for state in service.states()]]
    for chat in (loading, part("b", pipeline="chat", state="failed", reason="No memory.")):
        dispatcher._on_status(status("h", part("a", pipeline="words", facts_n=1, queue_depth=3), chat))
        dispatcher._on_facts(Facts("h", "a", 1, version(1)))
        seen.append([(state.name, state.state, state.reason) for state in service.states()])
    unknown = ("unavailable", "no worker has it")
    assert seen == [
        [("chat", *unknown), ("words", *unknown)],
        [("chat", "loading", "downloading"), ("words", "ready", "")],
        [("chat", "failed", "No memory."), ("words", "ready", "")],
    ]
    chat_state, words_state = service.states()
    assert (chat_state.task, chat_state.model, chat_state.version, chat_state.workers) == ("text-generation", "", "", 0)
    assert (words_state.task, words_state.model, words_state.version) == ("fill-mask", "a/model", "1")
    assert (words_state.workers, words_state.hosts, words_state.queue) == (1, ("h",), 3)
    assert (words_state.aliases, chat_state.aliases) == (("acme/words",), ())


# Parts of a list


async def test_inputs_that_are_wrong_do_not_fail_the_others_of_a_list():
    service, dispatcher = service_of_two()
    asked = Query(inputs=["a [MASK]", "", 3, "b [MASK]"], many=True, partial=True, pipeline="words")
    result = await service.answer(RequestContext(transport="python"), lambda: asked)
    codes = [outcome.error and outcome.error.code for outcome in result.outcomes]
    assert codes == [None, "empty", "validation", None]
    assert dispatcher.inputs == ["a [MASK]", "b [MASK]"]


async def test_a_list_of_which_nothing_is_right_is_answered_with_errors():
    service, dispatcher = service_of_two()
    asked = Query(inputs=["", 3], many=True, partial=True, pipeline="words")
    result = await service.answer(RequestContext(transport="python"), lambda: asked)
    assert [outcome.error is not None for outcome in result.outcomes] == [True, True]
    assert dispatcher.inputs == []


async def test_a_query_is_adapted_to_what_is_served():
    def adapt(query: Query, description: Description) -> Query:
        if description.task != "fill-mask":
            raise Invalid("Not for this pipeline.")
        return query.changed(inputs=["adapted [MASK]"])

    service, dispatcher = service_of_two()
    result = await service.answer(RequestContext(transport="python"), lambda: query(adapt=adapt, pipeline="words"))
    assert (dispatcher.inputs, result.query.inputs) == (["adapted [MASK]"], ["adapted [MASK]"])
    with pytest.raises(Invalid, match="Not for this"):
        await ask(service, query(adapt=adapt, pipeline="chat"))


# Keys


def with_key(pipelines: str, routes: str = "") -> RequestContext:
    principal = Principal(key="a", pipelines=frozenset(pipelines.split()), routes=frozenset(routes.split()))
    return RequestContext(transport="http", principal=principal)


async def test_for_a_key_there_are_no_other_pipelines_than_its_own(monkeypatch: pytest.MonkeyPatch):
    service, dispatcher = service_of_two()
    monkeypatch.setattr(service.access, "use", lambda *_: None)
    context = with_key("words")
    await service.answer(context, query)
    assert dispatcher.asked == ["words"], "the default of this key"
    for asked in (query(pipeline="chat"), query(pipeline="none")):
        with pytest.raises(NotFound, match=rf"There is no pipeline '{asked.pipeline}' here; known are words\."):
            await service.answer(context, lambda asked=asked: asked)  # type: ignore[misc]
    with pytest.raises(NotFound, match="'chat'"):
        await service.answer(context, query, pipeline="chat")
    seen = service.seen_by(context.principal)
    assert [state.name for state in seen.states()] == ["words"]
    assert service.seen_by(context.principal) is seen
    assert service.seen_by(Principal()) is service
    with pytest.raises(Forbidden):
        service.seen_by(with_key("gone").principal)


async def test_a_key_that_ends_ends_its_requests_and_not_their_tasks():
    service = Service(Conf(access="keys"), catalog.of(Conf()), dispatcher := Waiting(RecordingLayer()), RequestLog())
    known = KnownKey(bytes(32), math.inf, Principal(key="a"))
    service.access.table.replace([known])
    context = with_key("")
    asking = asyncio.ensure_future(service.answer(context, query))
    await dispatcher.runs.wait()
    service.access.table.replace([])
    service.access.stop_ended()
    with pytest.raises(Unauthorized, match="revoked or has expired"):
        await asking
    assert not asking.cancelled()
    with pytest.raises(Unauthorized):
        await service.answer(context, query)
    assert not [*service.access._open]
    assert service.pending_inputs == 0


async def test_a_client_that_leaves_as_its_key_ends_has_left():
    service = Service(Conf(access="keys"), catalog.of(Conf()), dispatcher := Waiting(RecordingLayer()), RequestLog())
    service.access.table.replace([KnownKey(bytes(32), math.inf, Principal(key="a"))])
    asking = asyncio.ensure_future(service.answer(with_key(""), query))
    await dispatcher.runs.wait()
    service.access.table.replace([])
    service.access.stop_ended()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not [*service.access._open]


async def test_before_the_keys_are_read_the_server_is_not_ready():
    service = Service(Conf(access="keys"), catalog.of(Conf()), Changing(DESCRIPTION), RequestLog())
    assert service.unready() == "The keys have not been read from the database yet; try again in 1 s."
    service.access.table.replace([])
    assert "keys" not in service.unready()


class Waiting(Dispatcher):
    """Never answers."""

    def __init__(self, layer: RecordingLayer) -> None:
        super().__init__(layer)
        self.runs = asyncio.Event()

    async def description(self, deadline_at: float, pipeline: str = DEFAULT_PIPELINE) -> Description:
        return version(1)

    async def run(self, work: Work, events: Events = NO_EVENTS) -> list[Answer | InferenceError]:
        self.runs.set()
        await asyncio.Event().wait()
        raise AssertionError


# Limits of keys


def asked_by(service: Service, **limits: Any) -> RequestContext:
    """With a key that the service knows."""
    principal = Principal(owner="acme", key="k", limits=Limits(**limits))
    service.access.table.replace([KnownKey(bytes(32), math.inf, principal)])
    return RequestContext(transport="http", principal=principal)


@pytest.mark.parametrize(("asked_s", "longest_s", "given_s"), [(None, 5.0, 5.0), (None, 500.0, 30.0), (4.0, 5.0, 4.0)])
def test_the_default_deadline_is_at_most_that_of_the_key(asked_s: float | None, longest_s: float, given_s: float):
    async def scenario() -> float:
        service, dispatcher = service_of_two()
        dispatcher.run = AsyncMock(return_value=[ANSWER])  # type: ignore[method-assign]
        asked = query("a [MASK]", deadline_s=asked_s, pipeline="words")
        await service.answer(asked_by(service, max_deadline_s=longest_s), lambda: asked)
        (work, _), _ = dispatcher.run.call_args
        return float(work.deadline_at - work.admitted_at)

    assert virtual_time.run(scenario()) == given_s


async def test_a_longer_deadline_than_that_of_the_key_is_refused():
    service, _ = service_of_two()
    with pytest.raises(Invalid, match="A deadline of 6 s is asked for; this key allows at most 5 s"):
        await service.answer(asked_by(service, max_deadline_s=5), lambda: query(deadline_s=6))


def test_a_request_that_is_cancelled_gives_back_what_it_took():
    async def scenario() -> None:
        service = service_of(Dispatcher(RecordingLayer()))
        context = asked_by(service, inputs_in_flight=2, units_per_day=5)
        two = Query(inputs=["a", "b"], many=True)
        asking = asyncio.create_task(service.answer(context, lambda: two))
        await asyncio.sleep(1)
        with pytest.raises(LimitReached, match="2 inputs in flight"):
            await service.answer(context, query)
        asking.cancel()
        await asyncio.wait([asking])
        counts = service.limits.of_key("k")
        assert (counts.in_flight, counts.units) == (0, 0)

    virtual_time.run(scenario())


async def test_a_refused_request_is_not_read_and_takes_nothing():
    service = service_of(Dispatcher(RecordingLayer()))
    context = asked_by(service, requests_per_minute=0)
    with pytest.raises(LimitReached):
        await service.answer(context, lambda: pytest.fail("it was read"))
    assert service.pending_inputs == 0
    assert service.limits.refused["requests_per_minute"] == 1


async def test_the_tokens_of_a_text_that_was_not_completed_count():
    def tell(token: Any) -> None:
        for number in range(3):
            token(0, Token(0, number, 7, "a", -0.1))

    dispatcher = Changing(version(1, GENERATING), version(2, GENERATING), tells=tell)
    service = service_of(dispatcher)
    with pytest.raises(WorkerLost):
        await service.answer(asked_by(service, units_per_day=100), lambda: query(stream=True))
    assert service.limits.of_key("k").units == 3


async def test_what_an_input_takes_is_learnt_for_each_pipeline(monkeypatch: pytest.MonkeyPatch):
    large = Answer(Result(0, b"1", 0.0, 0.0, 1, tokens=40), "w", waited_ms=0.0, times_sent=1)
    service, dispatcher = service_of_two()
    monkeypatch.setattr(dispatcher, "run", AsyncMock(return_value=[large]))
    context = asked_by(service, units_per_day=100)
    for _ in range(2):
        await service.answer(context, lambda: query("a [MASK]", pipeline="words"))
    with pytest.raises(LimitReached, match="20 are left"):
        await service.answer(context, lambda: query("a [MASK]", pipeline="words"))
    monkeypatch.setattr(dispatcher, "run", AsyncMock(return_value=[ANSWER]))
    await service.answer(context, lambda: query("a text", pipeline="chat"))
    assert service.limits.of_key("k").units == 81


class Reading(Answering):
    """Every prompt took a second of the model's time."""

    async def run(self, work: Work, events: Events = NO_EVENTS) -> list[Answer | InferenceError]:
        self.waits_s = self.pipelines["chat"].reading._until - self._loop.time()
        generation = Generation("length", 9, 2, 0.0, 0.0, None, reading_ms=1000.0)
        return [Answer(Result(0, b"{}", 0.0, 0.0, 1, generation), "w", waited_ms=0.0, times_sent=1)]


async def test_what_a_prompt_costs_is_learnt_from_its_answer():
    known = catalog.of(Conf(pipelines={"chat": CHAT, "words": WORDS}))
    dispatcher = Reading(RecordingLayer(), known.names)
    service = Service(Conf(), known, dispatcher, RequestLog())
    dispatcher._on_status(status("h", part("a", pipeline="chat", version="1", facts_n=1, reading_ms=2.0)))
    dispatcher._on_facts(Facts("h", "a", 1, version(1, GENERATING)))
    waits_s = []
    for asked in (query(letter * 400) for letter in "ab"):
        await service.answer(RequestContext(transport="python"), partial(lambda each: each, asked), pipeline="chat")
        waits_s.append(dispatcher.waits_s)
    guess_s = 0.002 * TOKENS_PER_BYTE * STRETCH
    learnt_s = (GUESSED_BYTES * guess_s + STRETCH) / (GUESSED_BYTES + 402)
    assert waits_s == pytest.approx([402 * guess_s, 402 * learnt_s], rel=0.01)
    reading = dispatcher.pipelines["chat"].reading
    assert reading._until == pytest.approx(dispatcher._loop.time(), abs=0.1), "nobody waits any more"
