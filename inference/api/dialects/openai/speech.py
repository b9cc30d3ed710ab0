"""``POST /v1/audio/speech``: a text as a recording."""

from functools import partial
from typing import Any

from inference.api.dialects.base import Head, Reply, Writer
from inference.api.dialects.doc import Doc
from inference.api.dialects.openai import audio_docs
from inference.api.dialects.openai.errors import InvalidField, UnsupportedField
from inference.api.dialects.openai.fields import (
    Fields,
    check_known,
    check_only,
    checked,
    read_fields,
    required,
    shown,
    unsuited,
)
from inference.api.dialects.openai.models import asked_pipeline
from inference.api.dialects.reading import DeadlineInHeader
from inference.messaging.messages import Description
from inference.serving.context import RequestContext
from inference.serving.deployment import Deployment
from inference.serving.query import Query
from inference.serving.result import RequestResult
from inference.tasks import TASKS
from inference.tasks.base import Task
from inference.tasks.media import Media

PATH = "/v1/audio/speech"
EXAMPLE = '{"input": "a text", "voice": "0"}'
VOICE = "speaker_id"
"""The parameter that a voice's number means."""
FORMAT = "wav"
"""OpenAI's is mp3, which is not written here; a request that leaves the format to the server gets one of ours."""
FIRST_VOICES = frozenset({"default", "alloy"})
"""Names that mean the model's first voice: clients want some voice, and ``alloy`` is that of OpenAI's examples."""

_FIELDS = ("input", "model", "voice", "response_format", "speed", "instructions", "stream_format")
_ONLY = {"speed": (1,), "instructions": ("",), "stream_format": ("audio",)}


class Speech(DeadlineInHeader):
    method = "POST"
    path = PATH
    pipeline_in_body = True

    def read(self, head: Head, body: bytes, deployment: Deployment) -> Query:
        fields = read_fields(body, EXAMPLE)
        pipeline = asked_pipeline(head, fields.get("model"), deployment).name
        text = required(fields, "input", EXAMPLE)
        if not isinstance(text, str) or not text.strip():
            raise InvalidField("input", f"'input' is {shown(text)}; it must be a text that is not empty.")
        check_only(fields, _ONLY)
        return Query(
            inputs=[text],
            many=False,
            pipeline=pipeline,
            deadline_s=self.deadline_s(head.header(self.deadline_header), deployment.conf.max_deadline_s),
            adapt=partial(_adapted, fields, pipeline),
        )

    def reply(self, context: RequestContext, result: RequestResult) -> Reply:
        [media] = result.outputs
        assert isinstance(media, Media)  # noqa: S101 - only tasks with recordings are asked
        return Reply(200, [(b"content-type", media.type.encode()), (b"x-request-id", context.id.encode())], media.data)

    def writer(self, context: RequestContext, query: Query) -> Writer:
        raise NotImplementedError("no query of this endpoint streams")

    def doc(self, task: Task | None) -> Doc | None:
        return audio_docs.speech(task, EXAMPLE, _ONLY) if task is None or task.output == "media" else None


def _adapted(fields: Fields, pipeline: str, query: Query, description: Description) -> Query:
    task = TASKS[description.task]
    if task.output != "media":
        raise unsuited(pipeline, description, PATH, "that speaks")
    check_known(fields, dict.fromkeys([*_FIELDS, *(name for name in task.parameters if name != "format")]))
    given = {name: checked(name, fields[name], known.kind) for name, known in task.parameters.items() if name in fields}
    voice = _voice(task, fields.get("voice"))
    written = {"format": _format(task, fields.get("response_format", FORMAT))}
    return query.changed(parameters=written | voice | given)


def _format(task: Task, given: Any) -> str:
    """Raises ``UnsupportedField``."""
    kind = task.parameters["format"].kind
    if not kind.accepts(given):
        raise UnsupportedField(
            "response_format", f"'response_format' is {shown(given)}; recordings are written as {kind}."
        )
    return str(given)


def _voice(task: Task, given: Any) -> dict[str, Any]:
    """As a number, or a text of digits; or one of the names of the first voice. Raises ``InvalidField``."""
    if isinstance(given, dict):  # as the newest clients send voices of their own
        given = given.get("id")
    if given is None or (isinstance(given, str) and given in FIRST_VOICES):
        return {}
    number = int(given) if isinstance(given, str) and given.isdecimal() and len(given) < 10 else given
    if VOICE not in task.parameters or not task.parameters[VOICE].kind.accepts(number):
        names = " or ".join(sorted(FIRST_VOICES))
        raise InvalidField("voice", f"'voice' is {shown(given)}; voices have numbers from 0; {names} mean the first.")
    return {VOICE: number}
