"""The page of one request: what happened when, what it repeats, and its repetition."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from inference import conf, testing
from inference.admin.request_log import run_again
from inference.admin.request_log.run_again import Side, compared, verdict
from inference.admin.request_log.timeline import WIDTH, timeline
from inference.errors import Overloaded
from inference.models import InferenceRequest
from inference.process.on_demand import CannotServe
from inference.testing import FakePipeline

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
MOMENTS = {"admitted_ms": 1.0, "sent_ms": 2.0, "started_ms": 4.0, "first_token_ms": 10.0}

pytestmark = pytest.mark.django_db


def stored(**fields: Any) -> InferenceRequest:
    known = {"received_at": NOON, "transport": "http", "status": "ok", "total_ms": 20.0, "pipeline": "default"}
    kept = {"preview": '["a [MASK]"]', "answer": '["first"]', "complete": True, "inputs": 1}
    return InferenceRequest.objects.create(**{"request_id": "r1", **known, **kept, **fields})


def address(row: InferenceRequest, page: str = "change") -> str:
    return reverse(f"admin:inference_inferencerequest_{page}", args=[row.pk])


@pytest.fixture
def superuser(client: Client) -> Client:
    client.force_login(User.objects.create(username="root", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def serving() -> Iterator[FakePipeline]:
    with testing.running(FakePipeline(answer=lambda text, parameters: [text, parameters])) as fake:
        yield fake


def html_of(response: Any) -> str:
    assert response.status_code == 200
    return str(response.content.decode()).replace("\N{NO-BREAK SPACE}", " ")


# Timeline


def test_the_timeline_has_all_moments_and_stages():
    moments = timeline(stored(**MOMENTS))
    assert [(moment.name, moment.at, moment.lasted) for moment in moments] == [
        ("Arrived", "0.0\N{NO-BREAK SPACE}ms", ""),
        ("Admitted", "1.0\N{NO-BREAK SPACE}ms", "1.0\N{NO-BREAK SPACE}ms"),
        ("Sent to a worker", "2.0\N{NO-BREAK SPACE}ms", "1.0\N{NO-BREAK SPACE}ms"),
        ("Started in the model", "4.0\N{NO-BREAK SPACE}ms", "2.0\N{NO-BREAK SPACE}ms"),
        ("First token", "10.0\N{NO-BREAK SPACE}ms", "6.0\N{NO-BREAK SPACE}ms"),
        ("Answered", "20.0\N{NO-BREAK SPACE}ms", "10.0\N{NO-BREAK SPACE}ms"),
    ]
    assert [(moment.x, moment.width) for moment in moments[1:]] == [
        (0, 50), (50, 50), (100, 100), (200, 300), (500, 500),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "names", "last"),
    [
        ({}, ["Arrived", "Answered"], "Until the answer"),
        ({"admitted_ms": 1.0, "started_ms": 2.0}, ["Arrived", "Admitted", "Started in the model", "Answered"],
         "Model and answer"),
        ({"status": "failed", "admitted_ms": 1.0}, ["Arrived", "Admitted", "Failed"], "Until it ended"),
        ({"status": "refused"}, ["Arrived", "Refused"], "Until it ended"),
        ({"status": "cancelled", "admitted_ms": 1.0}, ["Arrived", "Admitted", "Cancelled"], "Until it ended"),
    ],
)  # fmt: skip
def test_moments_that_are_not_known_are_left_out(fields: dict[str, Any], names: list[str], last: str):
    moments = timeline(stored(**fields))
    assert ([moment.name for moment in moments], moments[-1].stage) == (names, last)


def test_the_bar_has_no_stage_outside_of_it():
    """A worker's clock may say more than there was, and short stages are as wide as one can see."""
    for fields in ({"started_ms": 99.0}, {"total_ms": 0.0}, {"admitted_ms": 19.9999, "sent_ms": 19.99999}):
        for moment in timeline(stored(**fields)):
            assert 0 <= moment.x <= moment.x + moment.width <= WIDTH


def test_the_page_draws_it(superuser: Client):
    html = html_of(superuser.get(address(stored(**MOMENTS))))
    assert html.count("<rect class=") == 5 + 5, "of the bar, and in the table"
    assert "Reading the prompt: 6.0 ms" in html
    assert "style=" not in html.partition('id="content-main"')[2]


# Run again


def test_run_again_shows_both_answers_and_the_times_of_both(superuser: Client, serving: FakePipeline):
    row = stored(parameters='{"top_k": 2}', queue_ms=0.5)
    assert "Run again</button>" in html_of(superuser.get(address(row)))
    html = html_of(superuser.post(address(row, "run_again")))
    assert (serving.inputs, serving.parameters) == (["a [MASK]"], [{"top_k": 2}])
    for text in ("The answers differ.", "first", "a [MASK]", "top_k", "0.5 ms", "20.0 ms", "Run once more"):
        assert text in html
    assert "<mark>" in html
    [entry] = LogEntry.objects.all()
    assert entry.change_message.startswith("Run again as ")


def test_an_error_is_an_outcome_like_any_other(superuser: Client, serving: FakePipeline):
    serving.error = Overloaded("Full.")
    html = html_of(superuser.post(address(stored(), "run_again")))
    for text in ("The outcomes differ.", "overloaded", "Full."):
        assert text in html


def test_a_process_that_cannot_serve_says_so(superuser: Client, monkeypatch: pytest.MonkeyPatch):
    async def fails(*_: Any) -> None:
        raise CannotServe("There is no model.")

    monkeypatch.setattr("inference.process.calls.answer", fails)
    assert "This process cannot serve: There is no model." in html_of(superuser.post(address(stored(), "run_again")))
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize(
    ("fields", "settings_given", "sentence"),
    [
        ({"pipeline": "gone"}, {}, "There is no pipeline 'gone' here any more."),
        ({"pipeline": ""}, {}, "It was refused before its pipeline was known."),
        ({"preview": ""}, {}, "The log has no input of it"),
        ({"complete": False}, {}, "With INFERENCE_LOG_INPUTS=full, later requests can run again."),
        ({"complete": False}, {"log_inputs": "full"}, "were not kept as they were sent"),
        ({"complete": False}, {"task": "image-classification"}, "an image or a recording"),
        ({"audit_erased": "note"}, {}, "Its inputs were erased from the log."),
    ],
)
def test_what_cannot_run_again_says_why(
    superuser: Client, settings: Any, fields: dict[str, Any], settings_given: dict[str, Any], sentence: str
):
    settings.INFERENCE = conf.Conf(**{"task": "fill-mask", "model": "a/model", **settings_given})
    row = stored(**fields)
    for html in (html_of(superuser.get(address(row))), html_of(superuser.post(address(row, "run_again")))):
        assert sentence in html.replace("&#x27;", "'")
        assert "Run again</button>" not in html


@pytest.mark.parametrize("given", [["view_inputs"], ["run_again"], ["run_again", "view_inputs"]])
def test_running_again_has_a_permission_of_its_own(client: Client, given: list[str], serving: FakePipeline):
    """And shows inputs, so both are needed."""
    user = User.objects.create(username="staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_inferencerequest", *given]))
    client.force_login(user)
    row, allowed = stored(), len(given) == 2
    assert ("Run again" in html_of(client.get(address(row)))) == allowed
    assert client.post(address(row, "run_again")).status_code == (200 if allowed else 403)
    assert bool(serving.inputs) == allowed
    assert client.get(address(row, "run_again")).status_code == (405 if allowed else 403)


def test_running_again_wants_a_token_of_the_page(serving: FakePipeline):
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create(username="root", is_staff=True, is_superuser=True))
    assert client.post(address(stored(), "run_again")).status_code == 403
    assert not serving.inputs


def test_a_repetition_and_its_first_refer_to_each_other(superuser: Client):
    first = stored()
    again = stored(request_id="r2", again_of="r1")
    assert f'href="{address(again)}"' in html_of(superuser.get(address(first)))
    assert f'href="{address(first)}"' in html_of(superuser.get(address(again)))
    first.delete()
    assert "which is no longer in the log" in html_of(superuser.get(address(again)))


def side(text: str = '"a"', outcome: str = "ok", version: str = "1") -> Side:
    return Side("r", outcome, text, version, 1.0, 1.0, 1.0, 1)


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        (side(), side(), "Both answers are the same."),
        (side(), side('"b"'), "The answers differ."),
        (side(), side(version="2"), "Both answers are the same. The model is another version now."),
        (side(version=""), side(), "Both answers are the same."),
        (side(outcome="timeout"), side(), "The outcomes differ."),
        (side(""), side(), "Nothing is kept of the first answer."),
        (side("abc…"), side("abc…"), "Both answers begin the same; the rest is not kept."),
        (side("(audio/wav, 9 bytes)"), side("(audio/wav, 9 bytes)"),
         "Both answers are audio/wav, 9 bytes; what they contain is not kept."),
    ],
)  # fmt: skip
def test_the_verdict_says_no_more_than_is_known(one: Side, other: Side, said: str):
    assert verdict(one, other) == said


def test_lines_that_the_other_answer_has_not_are_marked():
    left, right = compared(side(json.dumps(["a", "b", "c"])), side(json.dumps(["a", "x", "c"])))
    assert [line.text.strip(' ",') for line in left if line.differs] == ["b"]
    assert [line.text.strip(' ",') for line in right if line.differs] == ["x"]


def test_vectors_are_asked_for_as_arrays_again():
    assert run_again._query(stored(answer="(float32, 1 × 3)")).arrays
    assert run_again._query(stored(answer="[(float32, 1 × 3), (float32, 1 × 3)]", request_id="r2")).arrays
    assert not run_again._query(stored(request_id="r3")).arrays
