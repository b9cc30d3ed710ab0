"""``POST /``: plain text, or the JSON of Hugging Face's Inference API.

Source: https://huggingface.co/docs/api-inference/tasks/fill-mask and the pipeline web server guide,
https://huggingface.co/docs/transformers/pipeline_webserver
"""

from inference.api.dialects.base import Head, Reply, Writer
from inference.api.dialects.native.answers import write_details, write_headers, write_outputs
from inference.api.dialects.native.event_stream import EventWriter
from inference.api.dialects.native.requests import EXAMPLE, decode_object, read_deadline, read_query
from inference.errors import EmptyInput, UnsupportedMediaType
from inference.serving.context import RequestContext
from inference.serving.query import Query
from inference.serving.result import RequestResult
from inference.tasks.inputs.base import check_utf8
from inference.tasks.media import Media

DEADLINE_HEADER = "x-request-timeout-seconds"
MEDIA = ("image/", "audio/")
_LITERALLY = " To send the text literally, use Content-Type: text/plain."


class NativeEndpoint:
    method = "POST"
    path = "/"
    deadline_header = DEADLINE_HEADER.encode()

    def deadline_s(self, given: str, longest_s: float) -> float | None:
        return read_deadline(given or None, DEADLINE_HEADER, longest_s)

    def read(self, head: Head, body: bytes, longest_s: float) -> Query:
        deadline_s = self.deadline_s(head.header(self.deadline_header), longest_s)
        return read_body(body, head.header(b"content-type"), deadline_s)

    def reply(self, context: RequestContext, result: RequestResult) -> Reply:
        first, many = result.outputs[0], result.query.many
        if isinstance(first, Media) and not many:
            return Reply(200, write_headers(context.id, result.times, content_type=first.type), first.data)
        body = write_outputs(result.outputs, many=many)
        if result.generation is not None:
            body = write_details(result.generation, body)
        return Reply(200, write_headers(context.id, result.times), body)

    def writer(self, context: RequestContext) -> Writer:
        return EventWriter(context)


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
