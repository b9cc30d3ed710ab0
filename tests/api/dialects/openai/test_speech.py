"""What a request for speech asks of the service, without one."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.api.dialects.base import Head
from inference.api.dialects.openai.errors import InvalidField
from inference.api.dialects.openai.speech import Speech
from inference.errors import Invalid
from inference.serving.query import Query
from inference.testing import FakePipeline
from tests.api.dialects.native.test_native import steady
from tests.api.dialects.test_rerank import json_values

Ask = Callable[..., Query]


@pytest.fixture(scope="module")
def ask(deployment: Any, head: Callable[..., Head]) -> Ask:
    def make(*, task: str = "text-to-speech", **fields: Any) -> Query:
        body = json.dumps({"input": "a text", "voice": "alloy"} | fields).encode()
        return Speech().read(head(), body, deployment).adapted(FakePipeline(task).description)

    return make


@pytest.mark.parametrize(
    ("fields", "parameters"),
    [
        ({}, {"format": "wav"}),
        ({"response_format": "flac", "voice": "default"}, {"format": "flac"}),
        (
            {"voice": "3", "speed": 1.0, "instructions": "", "stream_format": "audio"},
            {"format": "wav", "speaker_id": 3},
        ),
        ({"voice": {"id": "0"}, "seed": 5}, {"format": "wav", "speaker_id": 0, "seed": 5}),
        ({"voice": None}, {"format": "wav"}),
    ],
    ids=str,
)
def test_fields_mean_parameters(ask: Ask, fields: dict[str, Any], parameters: dict[str, Any]):
    query = ask(**fields)
    assert (query.inputs, query.parameters) == (["a text"], parameters)


@pytest.mark.parametrize(
    ("fields", "param", "sentence"),
    [
        ({"input": None}, "input", "There is no 'input'; send an object such as"),
        ({"input": " "}, "input", "'input' is ' '; it must be a text that is not empty."),
        ({"input": ["a"]}, "input", "'input' is ['a']; it must be a text that is not empty."),
        ({"voice": "nova"}, "voice", "'voice' is 'nova'; voices have numbers from 0; alloy or default mean the first."),
        ({"voice": -1}, "voice", "'voice' is -1; voices have numbers from 0;"),
        ({"response_format": "mp3"}, "response_format", "is 'mp3'; recordings are written as one of wav, flac."),
        ({"response_format": ["wav"]}, "response_format", "is ['wav']; recordings are written as one of wav, flac."),
        ({"speed": 1.5}, "speed", "'speed' is not supported here unless it is 1; leave it out."),
        ({"instructions": "whisper"}, "instructions", "'instructions' is not supported here unless it is"),
        ({"stream_format": "sse"}, "stream_format", "'stream_format' is not supported here unless it is"),
        ({"format": "wav"}, "format", "'format' is not supported here; leave it out. Known are input, model, voice,"),
        ({"seed": -1}, "seed", "'seed' is -1; it must be a whole number from 0 to"),
        ({"task": "fill-mask"}, "model", "serves fill-mask; /v1/audio/speech needs one that speaks."),
    ],
    ids=str,
)
def test_a_refusal_names_the_field(ask: Ask, fields: dict[str, Any], param: str, sentence: str):
    with pytest.raises(InvalidField) as raised:
        ask(**fields)
    assert raised.value.param == param
    assert sentence in raised.value.message


@steady
@given(st.dictionaries(st.sampled_from(["input", "voice", "response_format", "speed", "seed", "user"]), json_values))
def test_any_object_is_read_or_refused(ask: Ask, fields: dict[str, Any]):
    with suppress(Invalid):
        ask(**fields)
