"""``python -m tests.clients audio.py``: recordings by OpenAI's client.

The model is a Whisper that knows several languages. PYTHON has openai 3.57.0.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from openai import APIStatusError, AsyncOpenAI, BadRequestError, OpenAI

TRANSCRIBING, SPEAKING, URL = "automatic-speech-recognition", "text-to-speech", sys.argv[-1]
V1 = f"{URL}/v1"
TEXT = "a small boat on a river, and a long bridge"


def refused(param: str | None, call: Callable[[], Any], error: type[APIStatusError] = BadRequestError) -> None:
    try:
        call()
    except error as raised:
        found, request_id = raised.param, raised.request_id
    assert (found, len(request_id or "")) == (param, 32)


def spoken(client: OpenAI) -> bytes:
    """By the client itself: what one pipeline says, the other hears."""
    ask = client.audio.speech.create
    recording = ask(model=SPEAKING, voice="alloy", input=TEXT, response_format="wav").content
    assert recording[:4] == b"RIFF"
    assert ask(model=SPEAKING, voice="0", input=TEXT, response_format="flac", speed=1).content[:4] == b"fLaC"
    with client.audio.speech.with_streaming_response.create(model=SPEAKING, voice="alloy", input=TEXT) as streamed:
        assert b"".join(streamed.iter_bytes())[:4] == b"RIFF"
    refused("response_format", lambda: ask(model=SPEAKING, voice="alloy", input=TEXT, response_format="mp3"))
    refused("voice", lambda: ask(model=SPEAKING, voice="nova", input=TEXT))
    refused("model", lambda: ask(model=TRANSCRIBING, voice="alloy", input=TEXT))
    return recording


def transcribed(client: OpenAI, recording: bytes) -> str:
    """In strict mode, the client checks the types of all fields."""
    ask = client.audio.transcriptions.create
    file = ("boat.wav", recording)
    how: dict[str, Any] = {"model": TRANSCRIBING, "file": file}
    text = ask(**how).text
    assert ask(**how, response_format="text") == text
    assert ask(**how, language="en", temperature=0).text
    verbose = ask(**how, response_format="verbose_json")
    assert verbose.duration > 0.1
    assert verbose.language
    assert verbose.segments
    both = ask(**how, response_format="verbose_json", timestamp_granularities=["word", "segment"])
    assert both.words
    assert both.segments
    assert "-->" in ask(**how, response_format="srt")
    assert ask(**how, response_format="vtt").startswith("WEBVTT")
    *deltas, end = ask(**how, stream=True)
    assert {event.type for event in deltas} == {"transcript.text.delta"}
    assert "".join(event.delta for event in deltas) == end.text == text
    assert client.audio.translations.create(model=TRANSCRIBING, file=file).text
    refused("prompt", lambda: ask(**how, prompt="boats"))
    refused("temperature", lambda: ask(**how, temperature=0.4))
    refused("response_format", lambda: ask(**how, response_format="srt", stream=True))
    refused(None, lambda: ask(model=TRANSCRIBING, file=("a.txt", b"no recording")))
    refused("model", lambda: ask(model=SPEAKING, file=file))
    return text


async def side_by_side(recording: bytes, text: str) -> None:
    async with AsyncOpenAI(base_url=f"{URL}/pipelines/{TRANSCRIBING}/v1", api_key="any", max_retries=0) as client:
        ask = client.audio.transcriptions.create
        file = ("boat.wav", recording)
        answers = await asyncio.gather(*(ask(model="any", file=file) for _ in range(4)))
        assert {answer.text for answer in answers} == {text}
        stream = await ask(model="any", file=file, stream=True)
        assert [event.text async for event in stream if event.type == "transcript.text.done"] == [text]


def main() -> None:
    with OpenAI(base_url=V1, api_key="any", max_retries=0, _strict_response_validation=True) as client:
        recording = spoken(client)
        text = transcribed(client, recording)
    asyncio.run(side_by_side(recording, text))


if __name__ == "__main__":
    main()
