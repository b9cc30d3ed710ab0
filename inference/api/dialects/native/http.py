"""``POST /``: plain text, or the JSON of Hugging Face's Inference API.

Source: https://huggingface.co/docs/api-inference/tasks/fill-mask and the pipeline web server guide,
https://huggingface.co/docs/transformers/pipeline_webserver
"""

from inference.api.dialects.base import Head, Reply, Writer
from inference.api.dialects.native.answers import write_details, write_headers, write_outcomes
from inference.api.dialects.native.event_stream import EventWriter
from inference.api.dialects.native.requests import read_query
from inference.api.dialects.reading import EXAMPLE, DeadlineInHeader, decode_object
from inference.errors import EmptyInput, UnsupportedMediaType
from inference.serving.context import RequestContext
from inference.serving.deployment import Deployment
from inference.serving.query import Query
from inference.serving.result import RequestResult
from inference.tasks.inputs.base import check_utf8
from inference.tasks.media import Media

PARTIAL = "return=partial"
"""The preference (RFC 7240) of a client that wants the other answers of a list of which an input fails."""
MEDIA = ("image/", "audio/")
_LITERALLY = " To send the text literally, use Content-Type: text/plain."


class NativeEndpoint(DeadlineInHeader):
    method = "POST"
    path = "/"
    pipeline_in_body = False

    def read(self, head: Head, body: bytes, deployment: Deployment) -> Query:
        deadline_s = self.deadline_s(head.header(self.deadline_header), deployment.conf.max_deadline_s)
        query = read_body(body, head.header(b"content-type"), deadline_s)
        return query.changed(partial=True) if query.many and PARTIAL in _preferences(head) else query

    def reply(self, context: RequestContext, result: RequestResult) -> Reply:
        query = result.query
        if not query.many and isinstance(media := result.outputs[0], Media):
            return Reply(200, write_headers(context.id, result.times, content_type=media.type), media.data)
        body = write_outcomes(result.outcomes, many=query.many)
        if result.generation is not None:
            body = write_details(result.generation, body)
        headers = write_headers(context.id, result.times)
        if query.partial:
            headers.append((b"preference-applied", PARTIAL.encode()))
        return Reply(200, headers, body)

    def writer(self, context: RequestContext, query: Query) -> Writer:
        return EventWriter(context)


def _preferences(head: Head) -> set[str]:
    return {preference.strip().lower() for preference in head.header(b"prefer").split(",")}


def read_body(body: bytes, content_type: str, deadline_s: float | None) -> Query:
    """A request's body.

    Media if its type says so; JSON if its type says so or it begins like an object (unless the type is
    ``text/plain``), otherwise UTF-8 text. Bytes of no such type that are not UTF-8 may be media, too.

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
        return read_query(decode_object(body, hint=hint), deadline_s=deadline_s)
    if kind.startswith(MEDIA):
        return Query(inputs=[Media(body, kind)], many=False, deadline_s=deadline_s)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        if kind == "text/plain":
            check_utf8(body)
        return Query(inputs=[Media(body)], many=False, deadline_s=deadline_s)
    if not text.strip():
        raise EmptyInput('The body is empty; send a text, or JSON such as {"inputs": "a text"}.')
    return Query(inputs=[text], many=False, deadline_s=deadline_s)
