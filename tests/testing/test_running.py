import asyncio
import logging
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from channels.layers import channel_layers
from channels.testing import HttpCommunicator
from django.conf import settings

from inference import infer, infer_sync, stream
from inference.errors import (
    DeadlineExceeded,
    EmptyInput,
    InferenceError,
    InferenceFailed,
    Invalid,
    Loading,
    Overloaded,
    WorkerLost,
)
from inference.process import web
from inference.serving import current_service
from inference.tasks import TASKS
from inference.testing import FakePipeline, running
from inferencesite.asgi import application

ROOT = Path(__file__).resolve().parents[2]
TEXT = "The sky is [MASK]."

WITHOUT_A_MODEL = """
import sys
from pathlib import Path
from inference import infer_sync
from inference.testing import FakePipeline, running

for task, text in (("fill-mask", "a [MASK]"), ("text-generation", "once")):
    with running(FakePipeline(task)):
        infer_sync(text)
print({"torch", "transformers", "tokenizers", "safetensors"} & sys.modules.keys())
print([line for line in Path("/proc/self/maps").read_text().splitlines() if "torch" in line])
"""


def example(task: str) -> tuple[Any, dict[str, Any]]:
    known = TASKS[task]
    return known.example_for("[MASK]"), dict(known.example_parameters)


# Answers


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_an_answer(task: str):
    with running(FakePipeline(task)) as fake:
        text, parameters = example(task)
        assert infer_sync(text, parameters)
        assert fake.inputs == [TASKS[task].input.checked("The example", text, fake.description)]
        assert parameters.items() <= fake.parameters[0].items()


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match=r"^There is no task 'poetry'; it must be one of .*fill-mask, .*\.$"):
        FakePipeline("poetry")


def test_each_mask_has_its_answers(fake_pipeline: FakePipeline):
    one, two = infer_sync(["a [MASK]", "[MASK] and [MASK]"])
    assert one[0]["sequence"] == "a word"
    assert len(two) == 2


@pytest.mark.parametrize("fake_pipeline", [{"answer": {"any": ["json", 1]}}], indirect=True)
def test_a_fixed_answer_is_that_of_every_input(fake_pipeline: FakePipeline):
    assert infer_sync([TEXT, "a [MASK]"]) == [{"any": ["json", 1]}] * 2


async def test_a_function_answers_each_input_with_its_parameters(fake_pipeline: FakePipeline):
    fake_pipeline.answer = lambda text, parameters: [text.upper(), parameters]
    assert await infer(["a [MASK]", "b [MASK]"], {"top_k": 2}) == [
        ["A [MASK]", {"top_k": 2}],
        ["B [MASK]", {"top_k": 2}],
    ]


async def test_a_generated_text_comes_word_by_word():
    with running(FakePipeline("text-generation", "one two  three\n")):
        pieces = [piece async for piece in stream("count:")]
        assert pieces == ["one", " two", "  three\n"]
        assert await infer("count:") == [{"generated_text": "count:one two  three\n"}]
        assert await infer("count:", {"max_new_tokens": 2, "return_full_text": False}) == [
            {"generated_text": "one two"}
        ]


def test_the_empty_text_can_be_generated():
    with running(FakePipeline("text-generation", "")):
        assert infer_sync("count:") == [{"generated_text": "count:"}]


# Errors


@pytest.mark.parametrize(
    "error",
    [
        Overloaded("Too busy.", retry_after_s=7),
        Loading("Not yet."),
        DeadlineExceeded("Too late."),
        WorkerLost("It is gone."),
        Invalid("Not this."),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_every_request_ends_with_the_error_that_is_set(fake_pipeline: FakePipeline, error: InferenceError):
    fake_pipeline.error = error
    for _ in range(2):
        with pytest.raises(type(error), match=f"^{error.message}$"):
            await infer(TEXT)
    post = HttpCommunicator(application, "POST", "/", body=TEXT.encode(), headers=[(b"host", b"localhost")])
    reply = await post.get_response()
    assert reply["status"] == error.status
    if error.retry_after_s:
        assert (b"retry-after", b"%d" % error.retry_after_s) in reply["headers"]
    assert fake_pipeline.inputs == []
    fake_pipeline.error = None
    assert await infer(TEXT)


@pytest.mark.parametrize("task", ["fill-mask", "text-generation"])
def test_an_error_of_an_answer_is_that_of_its_input(task: str):
    def answer(text: str, parameters: dict[str, Any]) -> Any:
        raise {"[MASK] bad": EmptyInput("It is bad."), "[MASK] poison": ValueError("poison")}[text]

    with running(FakePipeline(task, answer)):
        with pytest.raises(EmptyInput, match=r"^It is bad\.$"):
            infer_sync("[MASK] bad")
        with pytest.raises(InferenceFailed):
            infer_sync("[MASK] poison")


def test_a_slow_pipeline_misses_deadlines_and_does_not_hold_up_the_end_of_the_test():
    began = time.monotonic()
    with running(FakePipeline(delay_s=30)), pytest.raises(DeadlineExceeded):
        infer_sync(TEXT, deadline_s=0.05)
    assert time.monotonic() - began < 20


# What is left


# Several pipelines

TABLES = {
    "words": {"task": "fill-mask", "model": "acme/words", "aliases": ["acme/words"]},
    "chat": {"task": "text-generation", "model": "acme/chat"},
}


def test_a_fake_is_every_pipeline_of_the_projects_catalog(settings: Any):
    settings.INFERENCE = {"PIPELINES": TABLES}
    with running(FakePipeline(answer="mine")) as fake:
        asked = [None, "words", "acme/words", "chat"]
        assert [infer_sync(TEXT, pipeline=name) for name in asked] == ["mine"] * 4
        fake.error = Overloaded("Too busy.")
        with pytest.raises(Overloaded):
            infer_sync(TEXT, pipeline="chat")


def test_pipelines_may_have_fakes_of_their_own(settings: Any):
    settings.INFERENCE = {"PIPELINES": TABLES}
    chat = FakePipeline("text-generation", "and so on")
    with running(FakePipeline(answer="mine"), pipelines={"chat": chat}):
        assert infer_sync(TEXT) == infer_sync(TEXT, pipeline="words") == "mine"
        [answer] = infer_sync("once", pipeline="chat")
        assert answer["generated_text"] == "onceand so on"
        chat.error = Overloaded("Too busy.")
        with pytest.raises(Overloaded):
            infer_sync("once", pipeline="chat")
        assert infer_sync(TEXT) == "mine"
    assert chat.inputs == ["once"]


def test_a_pipeline_may_be_one_that_the_settings_do_not_name():
    with running(FakePipeline(answer="mine"), pipelines={"other": FakePipeline(answer="another")}):
        assert (infer_sync(TEXT), infer_sync(TEXT, pipeline="other")) == ("mine", "another")


def test_nothing_is_left():
    before = settings.INFERENCE, settings.CHANNEL_LAYERS, set(threading.enumerate())
    for _ in range(3):
        with running(FakePipeline()):
            assert infer_sync(TEXT)
            assert settings.INFERENCE.backend == "inference.testing.backend"
        assert (web.current(), current_service.get()) == (None, None)
        assert (settings.INFERENCE, settings.CHANNEL_LAYERS, set(threading.enumerate())) == before
        assert channel_layers.backends == {}


def test_a_test_that_fails_leaves_nothing_either():
    before = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError), running(FakePipeline()):
        raise ZeroDivisionError
    assert web.current() is None
    assert set(threading.enumerate()) == before


def test_one_runs_at_a_time(fake_pipeline: FakePipeline):
    with pytest.raises(RuntimeError, match=r"^This process serves a pipeline already;"), running(FakePipeline()):
        pytest.fail("two run")
    assert infer_sync(TEXT)


def test_settings_that_contradict_each_other_are_reported(settings: Any):
    settings.INFERENCE = settings.INFERENCE.__class__(deadline_s=31, max_deadline_s=30)
    with pytest.raises(RuntimeError, match="INFERENCE_DEADLINE_S"), running(FakePipeline()):
        pytest.fail("it runs")
    assert web.current() is None


async def test_any_event_loop_may_ask(fake_pipeline: FakePipeline, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.ERROR)
    others = [asyncio.to_thread(infer_sync, TEXT) for _ in range(5)]
    answers = await asyncio.gather(infer(TEXT), *others)
    assert all(answer == answers[0] for answer in answers)
    assert len(fake_pipeline.inputs) == 6


def test_no_model_library_is_imported():
    ended = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", WITHOUT_A_MODEL],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.stdout.splitlines()[-2:] == ["set()", "[]"], ended.stderr
