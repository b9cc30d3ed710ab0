import json
from typing import Any

import pytest

from inference.api.dialects.openai.chat import ChatCompletions
from inference.api.dialects.openai.generating import Asked
from inference.messaging.messages import Generation, Result
from inference.serving.context import RequestContext
from inference.serving.query import Query
from inference.serving.result import Outcome, RequestResult, Served, Times
from inference.testing import FakePipeline

CONTEXT = RequestContext(transport="http", id="r1")


def reply(*generations: Generation | None, stop: list[str] | None = None) -> Any:
    """Of a chat with as many choices."""
    asked = Asked(
        fields={}, pipeline="chat", stop=stop or [], include_usage=False, top_logprobs=None, echo=False, version="v1"
    )
    output = json.dumps([{"generated_text": "once upon"}]).encode()
    result = RequestResult(
        query=Query(inputs=[[]], many=False, choices=len(generations), state=asked),
        served=Served("chat", "v1"),
        description=FakePipeline("text-generation").description,
        outcomes=[Outcome(Result(1, output, 0, 0, 1, generation, tokens=5)) for generation in generations],
        times=Times(total_ms=1.0),
    )
    return json.loads(ChatCompletions().reply(CONTEXT, result).body)


def ended(reason: Any) -> Generation:
    return Generation(reason, 5, 2, 0.0, 0.0, None, cached_tokens=3)


@pytest.mark.parametrize(("reason", "told"), [("length", "length"), ("eos_token", "stop"), ("stop_sequence", "stop")])
def test_an_answer_says_why_its_texts_ended_and_what_they_cost(reason: Any, told: str):
    answer = reply(ended(reason), ended("eos_token"))
    assert [choice["finish_reason"] for choice in answer["choices"]] == [told, "stop"]
    assert answer["usage"] == {
        "prompt_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens": 4,
        "total_tokens": 9,
    }
    assert (answer["id"], answer["model"], answer["system_fingerprint"]) == ("chatcmpl-r1", "chat", "v1")


def test_a_pipeline_that_counts_no_tokens_has_no_usage():
    assert reply(None)["usage"] is None


@pytest.mark.parametrize(("stop", "text"), [(["x"], "once upon"), (["up"], "once "), (["n", "on"], "")])
def test_a_text_ends_before_its_stop_sequence(stop: list[str], text: str):
    assert reply(ended("stop_sequence"), stop=stop)["choices"][0]["message"]["content"] == text
