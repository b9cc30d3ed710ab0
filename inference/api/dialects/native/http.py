"""``POST /``: plain text, media, or the JSON of Hugging Face's Inference API.

Texts get the pipeline's own answer; JSON and media get what the clients of Hugging Face read, which for some tasks
differs, unless the address ends in ``?format=pipeline``.

Source: https://huggingface.co/docs/api-inference/tasks/fill-mask and the pipeline web server guide,
https://huggingface.co/docs/transformers/pipeline_webserver
"""

from urllib.parse import parse_qs

from inference.api.dialects.base import Head, Reply, Writer
from inference.api.dialects.doc import Doc
from inference.api.dialects.native.answers import as_it_is, write_details, write_headers, write_outcomes
from inference.api.dialects.native.client_answers import client_shape
from inference.api.dialects.native.client_requests import JAVASCRIPT, Client, adapt, read_client_query
from inference.api.dialects.native.docs import describe
from inference.api.dialects.native.event_stream import EventWriter
from inference.api.dialects.native.requests import read_query
from inference.api.dialects.reading import EXAMPLE, DeadlineInHeader, decode_object
from inference.errors import EmptyInput, Invalid, UnsupportedMediaType
from inference.serving.context import RequestContext
from inference.serving.deployment import Deployment
from inference.serving.query import Query
from inference.serving.result import RequestResult
from inference.tasks import TASKS
from inference.tasks.base import Task
from inference.tasks.inputs.base import check_utf8
from inference.tasks.media import Media

PARTIAL = "return=partial"
"""The preference (RFC 7240) of a client that wants the other answers of a list of which an input fails."""
FORMAT, PIPELINE_FORMAT = "format", "pipeline"
"""In the query of the URL: answer JSON and media as the pipeline does."""
MEDIA = ("image/", "audio/")
_LITERALLY = " To send the text literally, use Content-Type: text/plain."


class NativeEndpoint(DeadlineInHeader):
    method = "POST"
    path = "/"
    pipeline_in_body = False

    def read(self, head: Head, body: bytes, deployment: Deployment) -> Query:
        deadline_s = self.deadline_s(head.header(self.deadline_header), deployment.conf.max_deadline_s)
        query = read_body(body, head.header(b"content-type"), deadline_s, _client(head))
        return query.changed(partial=True) if query.many and PARTIAL in _preferences(head) else query

    def reply(self, context: RequestContext, result: RequestResult) -> Reply:
        query = result.query
        if not query.many and isinstance(media := result.outputs[0], Media):
            return Reply(200, write_headers(context.id, result.times, content_type=media.type), media.data)
        shape = client_shape(TASKS[result.description.task], query) if query.state else as_it_is
        body = write_outcomes(result.outcomes, many=query.many, shape=shape)
        if result.generation is not None:
            body = write_details(result.generation, body)
        headers = write_headers(context.id, result.times)
        if query.partial:
            headers.append((b"preference-applied", PARTIAL.encode()))
        return Reply(200, headers, body)

    def writer(self, context: RequestContext, query: Query) -> Writer:
        return EventWriter(context)

    def doc(self, task: Task | None) -> Doc:
        return describe(task)


def _preferences(head: Head) -> set[str]:
    return {preference.strip().lower() for preference in head.header(b"prefer").split(",")}


def _client(head: Head) -> Client | None:
    """``None`` if the pipeline's own answers are wanted. Raises ``Invalid``."""
    if asked := parse_qs(head.query, keep_blank_values=True).get(FORMAT):
        if asked != [PIPELINE_FORMAT]:
            raise Invalid(f"{FORMAT} is {asked[0][:60]!r}; it must be {PIPELINE_FORMAT}, or be left out.")
        return None
    return Client(javascript=head.header(b"user-agent").startswith(JAVASCRIPT))


def read_body(body: bytes, content_type: str, deadline_s: float | None, client: Client | None) -> Query:
    """A request's body.

    Media if its type says so; JSON if its type says so or it begins like an object (unless the type is
    ``text/plain``), otherwise UTF-8 text. Bytes of no such type that are not UTF-8 may be media, too.

    Args:
        client: reads the answer to JSON or media; without it, that is the pipeline's own.

    Raises:
        Malformed, EmptyInput, Invalid, UnsupportedMediaType: what is wrong, in one sentence.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        raise UnsupportedMediaType(
            "Forms with parts (multipart/form-data, curl -F) are not read; send the text itself, "
            f"or JSON such as {EXAMPLE}."
        )
    if kind == "application/json" or (kind != "text/plain" and body.lstrip()[:1] == b"{"):
        hint = "" if kind == "application/json" else _LITERALLY
        fields = decode_object(body, hint=hint)
        return read_client_query(fields, client, deadline_s) if client else read_query(fields, deadline_s=deadline_s)
    if kind.startswith(MEDIA):
        return _of_media(Media(body, kind), deadline_s, client)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        if kind == "text/plain":
            check_utf8(body)
        return _of_media(Media(body), deadline_s, client)
    if not text.strip():
        raise EmptyInput('The body is empty; send a text, or JSON such as {"inputs": "a text"}.')
    return Query(inputs=[text], many=False, deadline_s=deadline_s)


def _of_media(media: Media, deadline_s: float | None, client: Client | None) -> Query:
    return Query(inputs=[media], many=False, deadline_s=deadline_s, state=client, adapt=adapt if client else None)
