"""Transcripts in all formats: JSON, text, and subtitles."""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from inference.messaging.messages import Heard
from inference.serving.result import RequestResult
from inference.tasks.abilities import PHRASE_TIMES
from inference.tasks.parameters import Choice

JSON, TEXT, VERBOSE = "json", "text", "verbose_json"
STREAMED = (JSON, TEXT)
"""A stream has the same events for both."""
SUBTITLES = ("srt", "vtt")
FORMAT = Choice((JSON, TEXT, VERBOSE, *SUBTITLES))
PHRASES, WORDS = "segment", "word"
"""Of what there may be times."""
JSON_TYPE, TEXT_TYPE = "application/json", "text/plain; charset=utf-8"

PAUSE_S = 0.8
LONGEST_S = 7.0
LONGEST_TEXT = 84
"""Characters. After a pause, or before it becomes longer than this, a phrase that is made of words ends; subtitles of
two lines last about so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the answer depends on: the ``state`` of a query."""

    pipeline: str
    format: str
    times: frozenset[str]
    must_have_times: bool
    language: str
    """As the request names it."""


class Said(NamedTuple):
    start: float
    end: float
    text: str


class _Chunk(msgspec.Struct):
    text: str
    timestamp: tuple[float | None, float | None]


class Transcript(msgspec.Struct):
    """The answer of a pipeline."""

    text: str
    chunks: list[_Chunk] = []


_decoder = msgspec.json.Decoder(Transcript)


def decode(result: RequestResult) -> Transcript:
    """Without the space that Whisper begins with."""
    [output] = result.outputs
    assert isinstance(output, bytes)  # noqa: S101 - only tasks with transcripts are asked
    transcript = _decoder.decode(output)
    transcript.text = transcript.text.lstrip()
    return transcript


def write(result: RequestResult) -> tuple[str, bytes]:
    """Content type and body."""
    asked: Asked = result.query.state
    transcript, heard = decode(result), _heard(result)
    if asked.format == TEXT:
        return TEXT_TYPE, transcript.text.encode()
    if asked.format == JSON:
        return JSON_TYPE, msgspec.json.encode({"text": transcript.text} | _usage(heard))
    said = list(_said(transcript.chunks, heard.seconds))
    has_words = result.query.parameters.get("return_timestamps") == "word"
    phrases = list(_phrases(said, _space(result))) if has_words else said
    if asked.format == VERBOSE:
        fields = {"task": _task(result), "language": heard.language or asked.language, "duration": heard.seconds}
        fields |= {"text": transcript.text} | _usage(heard)
        if PHRASES in asked.times and transcript.chunks:
            fields["segments"] = [_segment(number, phrase) for number, phrase in enumerate(phrases)]
        if WORDS in asked.times:
            fields["words"] = [{"word": word.text.strip(), "start": word.start, "end": word.end} for word in said]
        return JSON_TYPE, msgspec.json.encode(fields)
    return TEXT_TYPE, (_srt if asked.format == "srt" else _vtt)(phrases).encode()


def _heard(result: RequestResult) -> Heard:
    """A worker of the release before does not tell it."""
    [outcome] = result.outcomes
    return (outcome.result.heard if outcome.result else None) or Heard(0.0)


def _usage(heard: Heard) -> dict[str, Any]:
    return {"usage": {"type": "duration", "seconds": heard.seconds}} if heard.seconds else {}


def _task(result: RequestResult) -> str:
    return str(result.query.parameters.get("task", "transcribe"))


def _said(chunks: Sequence[_Chunk], seconds: float) -> Iterator[Said]:
    """What has no end, ends with the recording; none ends before it begins."""
    for chunk in chunks:
        start, end = chunk.timestamp
        start = start or 0.0
        yield Said(start, max(start, seconds if end is None else end), chunk.text)


def _space(result: RequestResult) -> str:
    """Between words: those of Whisper bring along what is before them, which is nothing in some languages."""
    return "" if PHRASE_TIMES in (result.description.abilities or ()) else " "


def _phrases(words: Sequence[Said], space: str) -> Iterator[Said]:
    """Words that follow each other."""
    phrase: list[Said] = []
    for word in words:
        if phrase and _ends(phrase, word):
            yield _joined(phrase, space)
            phrase = []
        phrase.append(word)
    if phrase:
        yield _joined(phrase, space)


def _ends(phrase: Sequence[Said], following: Said) -> bool:
    return (
        following.start - phrase[-1].end >= PAUSE_S
        or following.end - phrase[0].start > LONGEST_S
        or sum(len(word.text) for word in (*phrase, following)) > LONGEST_TEXT
    )


def _joined(words: Sequence[Said], space: str) -> Said:
    return Said(words[0].start, words[-1].end, space.join(word.text for word in words))


def _segment(number: int, phrase: Said) -> dict[str, Any]:
    """With all fields that clients want; what is not known is 0, or an empty list."""
    written = phrase.text.encode()
    return {
        "id": number,
        "seek": 0,
        "start": phrase.start,
        "end": phrase.end,
        "text": phrase.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": 0.0,
        "compression_ratio": len(written) / len(zlib.compress(written)),
        "no_speech_prob": 0.0,
    }


def _srt(phrases: Sequence[Said]) -> str:
    cues = enumerate(filter(_line, phrases), 1)
    return "\n".join(f"{number}\n{_span(cue, ',')}\n{_line(cue).replace('-->', '->')}\n" for number, cue in cues)


def _vtt(phrases: Sequence[Said]) -> str:
    """https://www.w3.org/TR/webvtt1/"""
    escaped: Callable[[Said], str] = lambda cue: _line(cue).translate(_ESCAPES)  # noqa: E731
    return "WEBVTT\n\n" + "".join(f"{_span(cue, '.')}\n{escaped(cue)}\n\n" for cue in phrases if _line(cue))


_ESCAPES: Mapping[int, str] = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def _line(cue: Said) -> str:
    """A line that is empty would end its cue."""
    return " ".join(cue.text.split())


def _span(cue: Said, point: str) -> str:
    return f"{_time(cue.start, point)} --> {_time(cue.end, point)}"


def _time(seconds: float, point: str) -> str:
    """``00:01:02,345``"""
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{milliseconds:03}"
