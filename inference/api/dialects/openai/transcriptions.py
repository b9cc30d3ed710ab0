"""``POST /v1/audio/transcriptions`` and ``/v1/audio/translations``: what is said in a recording."""

from functools import partial
from typing import Literal

from inference.api.dialects.base import Head, Reply, Writer
from inference.api.dialects.doc import Doc
from inference.api.dialects.openai import audio_docs
from inference.api.dialects.openai.errors import InvalidField, UnsupportedField
from inference.api.dialects.openai.fields import Fields, check_known, check_only, checked, read, read_flag, unsuited
from inference.api.dialects.openai.forms import FILE, plain, read_form
from inference.api.dialects.openai.models import asked_pipeline
from inference.api.dialects.openai.transcript_events import TranscriptWriter
from inference.api.dialects.openai.transcripts import (
    FORMAT,
    JSON,
    PHRASES,
    STREAMED,
    SUBTITLES,
    VERBOSE,
    WORDS,
    Asked,
    write,
)
from inference.api.dialects.reading import DeadlineInHeader
from inference.messaging.messages import Description
from inference.serving.context import RequestContext
from inference.serving.deployment import Deployment
from inference.serving.query import Query
from inference.serving.result import RequestResult
from inference.tasks import TASKS
from inference.tasks.abilities import LANGUAGES, PHRASE_TIMES, WORD_TIMES
from inference.tasks.base import Task
from inference.tasks.media import Media
from inference.tasks.parameters import Choice

LARGE = 2**16
"""Bytes of a form that is read on another thread. One of 8 MB takes 30 ms."""
TIMES = "timestamp_granularities"
TIMES_PARAMETER, TASK_PARAMETER = "return_timestamps", "task"
TRANSCRIBE: Literal["transcribe"] = "transcribe"

_TEXTS = ("model", "language", "prompt", "response_format")
_FIELDS = (FILE, *_TEXTS, "temperature", TIMES, "stream", "chunking_strategy")
_ONLY = {"temperature": (0,), "prompt": (), "chunking_strategy": ("auto",)}
_NOT_TAKEN = frozenset({TIMES_PARAMETER, TASK_PARAMETER})
"""Parameters of the task that follow from other fields, or from the path."""
_GRANULARITY = Choice((PHRASES, WORDS))


class Transcriptions(DeadlineInHeader):
    """
    Args:
        what: whether what is said is to be written, or its translation to English.
    """

    method = "POST"
    pipeline_in_body = True
    aside_from = LARGE

    def __init__(self, path: str, what: Literal["transcribe", "translate"] = TRANSCRIBE) -> None:
        self.path = path
        self._what = what

    def read(self, head: Head, body: bytes, deployment: Deployment) -> Query:
        form = read_form(body, head.header(b"content-type"))
        fields = {name: value if name in _TEXTS else plain(value) for name, value in form.fields.items()}
        pipeline = asked_pipeline(head, fields.get("model"), deployment).name
        check_only(fields, _ONLY)
        asked, stream = _asked(fields, pipeline), read_flag(fields, "stream")
        if stream and asked.format not in STREAMED:
            raise UnsupportedField(
                "response_format", f"A stream is not written as {asked.format}; ask for {' or '.join(STREAMED)}."
            )
        return Query(
            inputs=[Media(form.file)],
            many=False,
            pipeline=pipeline,
            stream=stream,
            deadline_s=self.deadline_s(head.header(self.deadline_header), deployment.conf.max_deadline_s),
            state=asked,
            adapt=partial(self._adapted, fields),
        )

    def reply(self, context: RequestContext, result: RequestResult) -> Reply:
        content_type, body = write(result)
        headers = [(b"content-type", content_type.encode()), (b"x-request-id", context.id.encode())]
        return Reply(200, headers, body)

    def writer(self, context: RequestContext, query: Query) -> Writer:
        return TranscriptWriter(context)

    def doc(self, task: Task | None) -> Doc | None:
        if task is not None and task.output != "transcript":
            return None
        return audio_docs.transcription(task, FORMAT, _GRANULARITY, _NOT_TAKEN)

    def _adapted(self, fields: Fields, query: Query, description: Description) -> Query:
        task, asked = TASKS[description.task], query.state
        if task.output != "transcript":
            raise unsuited(asked.pipeline, description, self.path, "that writes what is said in recordings")
        own = {name: known for name, known in task.parameters.items() if name not in _NOT_TAKEN}
        check_known(fields, dict.fromkeys([*_FIELDS, *own]))
        parameters = {name: checked(name, fields[name], known.kind) for name, known in own.items() if name in fields}
        if query.stream and not description.streams:
            raise UnsupportedField("stream", f"Pipeline {asked.pipeline} does not stream; leave 'stream' out.")
        abilities = description.abilities
        if self._what != TRANSCRIBE or LANGUAGES in (abilities or ()):  # Whisper may do either, if it is not told
            parameters[TASK_PARAMETER] = self._what
        if abilities is not None and LANGUAGES not in abilities:
            if self._what != TRANSCRIBE:
                needed = f"{self.path} needs one that translates, such as Whisper in many languages"
                raise InvalidField("model", f"The model of pipeline {asked.pipeline} does not translate; {needed}.")
            if "language" in fields:
                raise UnsupportedField("language", "This model takes no language; leave 'language' out.")
        if (times := _times(asked, abilities)) is not None:
            parameters[TIMES_PARAMETER] = times
        return query.changed(parameters=parameters)


def _asked(fields: Fields, pipeline: str) -> Asked:
    """Raises ``InvalidField``."""
    form = read(fields, "response_format", FORMAT, default=JSON)
    given = fields.get(TIMES, [])
    times = frozenset(checked(TIMES, each, _GRANULARITY) for each in (given if isinstance(given, list) else [given]))
    if times and form != VERBOSE:
        raise InvalidField(TIMES, f"'{TIMES}' is for the response_format {VERBOSE}, and it is {form}; leave it out.")
    by_default = form == VERBOSE and not times
    return Asked(
        pipeline=pipeline,
        format=form,
        times=frozenset({PHRASES}) if by_default or form in SUBTITLES else times,
        must_have_times=not by_default,
        language=fields.get("language", ""),
    )


def _times(asked: Asked, abilities: tuple[str, ...] | None) -> bool | str | None:
    """The value of the task's parameter. Phrases are made of words where those are wanted, or known alone.

    Raises ``UnsupportedField``.
    """
    if not asked.times:
        return None
    known = (PHRASE_TIMES, WORD_TIMES) if abilities is None else abilities
    if PHRASE_TIMES in known and WORDS not in asked.times:
        return True
    if WORD_TIMES in known:
        return "word"
    if not asked.must_have_times:
        return None
    field = "response_format" if asked.format in SUBTITLES else TIMES
    what = "words are spoken" if PHRASE_TIMES in known else "anything is said"
    raise UnsupportedField(field, f"Pipeline {asked.pipeline} does not know when {what}; leave '{field}' out.")
