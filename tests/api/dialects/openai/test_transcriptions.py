"""What a request for a transcript asks of the service, and its answers in all formats, without one."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from inference.api.dialects.base import Head
from inference.api.dialects.openai.errors import InvalidField
from inference.api.dialects.openai.transcriptions import Transcriptions
from inference.messaging.messages import Description, Generation, Heard, Result, Token
from inference.serving.context import RequestContext
from inference.serving.generation_result import GenerationResult
from inference.serving.query import Query
from inference.serving.result import Outcome, RequestResult
from inference.tasks.abilities import LANGUAGES, PHRASE_TIMES, WORD_TIMES
from inference.testing import FakePipeline
from tests.api.dialects.openai.forms import CONTENT_TYPE, form, part
from tests.serving.results import make_result

Ask = Callable[..., Query]
PATH = "/v1/audio/transcriptions"
SPEECH = "automatic-speech-recognition"
WHISPER = (PHRASE_TIMES, WORD_TIMES, LANGUAGES)
CTC = (WORD_TIMES,)
CONTEXT = RequestContext(transport="http")
CHUNKS = [
    {"text": " A <boat> & more.", "timestamp": [0.0, 1.5]},
    {"text": " \n ", "timestamp": [1.5, 1.6]},
    {"text": " The\n\nend --> 1.", "timestamp": [3661.25, None]},
]


def described(task: str, abilities: tuple[str, ...] | None, *, streams: bool) -> Description:
    return msgspec.structs.replace(FakePipeline(task).description, abilities=abilities, streams=streams)


@pytest.fixture(scope="module")
def ask(deployment: Any) -> Ask:
    def make(
        *,
        path: str = PATH,
        task: str = SPEECH,
        abilities: tuple[str, ...] | None = WHISPER,
        streams: bool = True,
        **fields: str | list[str],
    ) -> Query:
        parts = [part("file", b"RIFF", filename="a.wav")]
        for name, value in fields.items():
            parts += [part(f"{name}[]", each) for each in value] if isinstance(value, list) else [part(name, value)]
        head = Head("POST", path, lambda name: CONTENT_TYPE if name == b"content-type" else "", pipeline="chat")
        endpoint = Transcriptions(path, "translate" if path != PATH else "transcribe")
        return endpoint.read(head, form(parts), deployment).adapted(described(task, abilities, streams=streams))

    return make


def answer(query: Query, *, abilities: tuple[str, ...] = WHISPER, chunks: Any = (), heard: Heard | None = None) -> str:
    output = json.dumps({"text": " A boat."} | ({"chunks": chunks} if chunks else {})).encode()
    reply = Transcriptions(PATH).reply(CONTEXT, told(query, output, abilities=abilities, heard=heard))
    assert reply.status == 200
    expected = b"application/json" if "json" in query.state.format else b"text/plain; charset=utf-8"
    assert dict(reply.headers)[b"content-type"] == expected
    return reply.body.decode()


def told(query: Query, output: bytes, *, abilities: tuple[str, ...] = WHISPER, heard: Heard | None) -> RequestResult:
    result = Result(0, output, 0.0, 0.0, 1, heard=heard)
    return make_result(
        query, outcomes=[Outcome(result)], description=described(SPEECH, abilities, streams=True), generations=[]
    )


@pytest.mark.parametrize(
    ("fields", "abilities", "parameters"),
    [
        ({}, WHISPER, {}),
        ({"temperature": "0", "prompt": "", "chunking_strategy": "auto", "user": "me"}, CTC, {}),
        ({"language": "de", "num_beams": "2", "chunk_length_s": "20"}, WHISPER, {"language": "de", "num_beams": 2}),
        ({"response_format": "srt"}, WHISPER, {"return_timestamps": True}),
        ({"response_format": "vtt"}, CTC, {"return_timestamps": "word"}),
        ({"response_format": "verbose_json"}, WHISPER, {"return_timestamps": True}),
        ({"response_format": "verbose_json"}, (), {}),
        ({"response_format": "verbose_json"}, None, {"return_timestamps": True}),
        (
            {"response_format": "verbose_json", "timestamp_granularities": ["segment", "word"]},
            WHISPER,
            {"return_timestamps": "word"},
        ),
        ({"path": "/v1/audio/translations"}, WHISPER, {"task": "translate"}),
        ({"path": "/v1/audio/translations"}, None, {"task": "translate"}),
    ],
    ids=str,
)
def test_fields_mean_parameters(
    ask: Ask, fields: dict[str, Any], abilities: tuple[str, ...] | None, parameters: dict[str, Any]
):
    query = ask(abilities=abilities, **fields)
    if abilities == WHISPER:
        parameters = {"task": "transcribe"} | parameters
    assert query.parameters.items() >= parameters.items()
    assert query.parameters.keys() <= {*parameters, "chunk_length_s"}
    assert query.inputs[0].data == b"RIFF"


@pytest.mark.parametrize(
    ("fields", "param", "sentence"),
    [
        ({"task": "text-generation"}, "model", "serves text-generation; /v1/audio/transcriptions needs one that"),
        ({"response_format": "xml"}, "response_format", "'response_format' is 'xml'; it must be one of json, text,"),
        ({"prompt": "boats"}, "prompt", "'prompt' is not supported here"),
        ({"temperature": "0.4"}, "temperature", "'temperature' is not supported here unless it is 0; leave it out."),
        ({"include": ["logprobs"]}, "include", "'include' is not supported here; leave it out. Known are file, model,"),
        ({"return_timestamps": "true"}, "return_timestamps", "'return_timestamps' is not supported here"),
        ({"stream": "maybe"}, "stream", "'stream' is 'maybe'; it must be true or false."),
        (
            {"stream": "true", "response_format": "srt"},
            "response_format",
            "A stream is not written as srt; ask for json",
        ),
        ({"stream": "true", "streams": False}, "stream", "Pipeline chat does not stream; leave 'stream' out."),
        ({"num_beams": "many"}, "num_beams", "'num_beams' is 'many'; it must be a whole number from 1 to 16."),
        ({"timestamp_granularities": ["word"]}, "timestamp_granularities", "is for the response_format verbose_json"),
        (
            {"timestamp_granularities": ["letter"], "response_format": "verbose_json"},
            "timestamp_granularities",
            "'timestamp_granularities' is 'letter'; it must be one of segment, word.",
        ),
        (
            {"timestamp_granularities": ["word"], "response_format": "verbose_json", "abilities": (PHRASE_TIMES,)},
            "timestamp_granularities",
            "Pipeline chat does not know when words are spoken; leave 'timestamp_granularities' out.",
        ),
        ({"response_format": "srt", "abilities": ()}, "response_format", "does not know when anything is said;"),
        ({"language": "en", "abilities": CTC}, "language", "This model takes no language; leave 'language' out."),
        (
            {"path": "/v1/audio/translations", "abilities": CTC},
            "model",
            "The model of pipeline chat does not translate;",
        ),
    ],
    ids=str,
)
def test_a_refusal_names_the_field(ask: Ask, fields: dict[str, Any], param: str, sentence: str):
    with pytest.raises(InvalidField) as raised:
        ask(**fields)
    assert raised.value.param == param
    assert sentence in raised.value.message


def test_json_and_text(ask: Ask):
    assert json.loads(answer(ask())) == {"text": "A boat."}
    used = {"type": "duration", "seconds": 2.5}
    assert json.loads(answer(ask(), heard=Heard(2.5))) == {"text": "A boat.", "usage": used}
    assert answer(ask(response_format="text"), heard=Heard(2.5)) == "A boat."


def test_verbose_json_has_segments_with_all_fields(ask: Ask):
    query = ask(response_format="verbose_json")
    told = json.loads(answer(query, chunks=CHUNKS, heard=Heard(3662.0, "english")))
    assert (told["duration"], told["language"], told["task"]) == (3662.0, "english", "transcribe")
    assert [(each["start"], each["end"]) for each in told["segments"]] == [(0.0, 1.5), (1.5, 1.6), (3661.25, 3662.0)]
    first = told["segments"][0]
    assert (first["id"], first["text"], first["tokens"]) == (0, " A <boat> & more.", [])
    assert set(first) >= {"seek", "temperature", "avg_logprob", "compression_ratio", "no_speech_prob"}
    assert "words" not in told
    older = json.loads(answer(ask(response_format="verbose_json", language="de"), chunks=CHUNKS))
    assert (older["duration"], older["language"], "usage" in older) == (0.0, "de", False)


WORDS = [
    {"text": " A", "timestamp": [0.0, 0.5]},
    {"text": " boat.", "timestamp": [0.5, 1.0]},
    {"text": " Bread", "timestamp": [1.8, 2.0]},
    {"text": " slowly", "timestamp": [2.0, 9.0]},
]


@pytest.mark.parametrize("times", [["word"], ["word", "segment"]], ids=str)
def test_words_and_the_phrases_that_they_make(ask: Ask, times: list[str]):
    """After a pause, or where it would become too long, another phrase begins."""
    query = ask(response_format="verbose_json", timestamp_granularities=times)
    told = json.loads(answer(query, chunks=WORDS, heard=Heard(9.0)))
    assert told["words"][1] == {"word": "boat.", "start": 0.5, "end": 1.0}
    phrases = [(each["text"], each["start"], each["end"]) for each in told.get("segments", [])]
    assert phrases == [(" A boat.", 0.0, 1.0), (" Bread", 1.8, 2.0), (" slowly", 2.0, 9.0)][: 3 * (len(times) - 1)]


def test_words_of_other_models_are_joined_by_spaces(ask: Ask):
    query = ask(response_format="srt", abilities=CTC)
    words = [{"text": text, "timestamp": [n / 10, n / 10 + 0.1]} for n, text in enumerate(("a", "boat"))]
    assert answer(query, abilities=CTC, chunks=words) == "1\n00:00:00,000 --> 00:00:00,200\na boat\n"
    together = answer(ask(response_format="srt", timestamp_granularities=[]), chunks=CHUNKS[:1])
    assert together.startswith("1\n00:00:00,000 --> 00:00:01,500\nA <boat> & more.\n")


def test_subtitles(ask: Ask):
    """A line that is empty, or an arrow, would break their form."""
    assert answer(ask(response_format="srt"), chunks=CHUNKS, heard=Heard(3662.0)) == (
        "1\n00:00:00,000 --> 00:00:01,500\nA <boat> & more.\n\n2\n01:01:01,250 --> 01:01:02,000\nThe end -> 1.\n"
    )
    assert answer(ask(response_format="vtt"), chunks=CHUNKS, heard=Heard(3662.0)) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nA &lt;boat&gt; &amp; more.\n\n"
        "01:01:01.250 --> 01:01:02.000\nThe end --&gt; 1.\n\n"
    )


def test_a_stream_tells_what_is_added(ask: Ask):
    query = ask(stream="true")
    writer = Transcriptions(PATH).writer(CONTEXT, query)
    generation = GenerationResult(given="", began=0.0)
    texts = [" ", " A", "", " boat"]
    events = b"".join(writer.token(Token(0, n, n, text, 0.0), generation) for n, text in enumerate(texts))
    generation.finish(
        Generation(
            finish_reason="eos_token",
            prompt_tokens=1,
            generated_tokens=5,
            first_token_ms=0.0,
            token_ms=0.0,
            last=Token(0, 4, 4, ".", 0.0),
        )
    )
    events += writer.finished(generation) + writer.end(told(query, b'{"text": "  A boat."}', heard=None))
    assert [json.loads(event.removeprefix("data: ")) for event in events.decode().split("\n\n")[:-1]] == [
        *({"type": "transcript.text.delta", "delta": delta} for delta in ("A", " boat", ".")),
        {"type": "transcript.text.done", "text": "A boat."},
    ]
    assert json.loads(writer.error(InvalidField("file", "No.")).removeprefix(b"data: "))["error"]["param"] == "file"
