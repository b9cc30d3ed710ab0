"""A dialect that only the tests have.

``POST /toy/`` takes a text and answers in lines that begin with ``=``; a text that begins with ``?stream`` is answered
with a line per token, two texts of it at once with ``?stream ?two``. Errors are lines that begin with ``!``.
``/toy/of/{pipeline}`` is the same for one pipeline, ``/toy/list`` and ``/toy/list/{pipeline}`` are resources, and
``/toy/ws/`` has frames of ``<id> <text>``. Only pipelines that generate texts are documented.
"""

from collections.abc import Iterable

from inference.api.dialects.base import Cancel, Head, Headers, Rejected, Reply, Say, Start
from inference.api.dialects.doc import Body, Doc
from inference.errors import Cancelled, InferenceError, Malformed
from inference.messaging.messages import Started, Token
from inference.serving.context import RequestContext
from inference.serving.deployment import Deployment
from inference.serving.generation_result import GenerationResult
from inference.serving.query import Query
from inference.serving.result import RequestResult, Served
from inference.tasks.base import Task

STREAM, TWO = "?stream ", "?two "
TYPE = "text/x-toy"
TEXT: Headers = [(b"content-type", TYPE.encode())]


def written(error: InferenceError) -> str:
    return f"! {error.code}: {error.message}"


def query_of(text: str, deadline_s: float | None = None) -> Query:
    if not text:
        raise Malformed("Toys want a text.")
    stream, text = text.startswith(STREAM), text.removeprefix(STREAM)
    return Query(
        inputs=[text.removeprefix(TWO)],
        choices=2 if text.startswith(TWO) else 1,
        many=False,
        parameters={"max_new_tokens": 4},
        stream=stream,
        tokens_for="?stream" if stream else None,
        deadline_s=deadline_s,
    )


class ToyWriter:
    """Of HTTP streams."""

    def __init__(self) -> None:
        self.headers = TEXT

    def token(self, token: Token, generation: GenerationResult) -> bytes:
        return f"+ {generation.index}.{token.index}\n".encode()

    def finished(self, generation: GenerationResult) -> bytes:
        return f". {generation.index} {generation.finish_reason} seed {generation.seed}\n".encode()

    def end(self, result: RequestResult) -> bytes:
        return b"= end\n"

    def error(self, error: InferenceError) -> bytes:
        return written(error).encode()


class ToyEndpoint:
    method = "POST"
    pipeline_in_body = False

    def __init__(self, path: str) -> None:
        self.path = path

    deadline_header = b"x-toy-seconds"

    def deadline_s(self, given: str, longest_s: float) -> float | None:
        return float(given) if given else None

    def read(self, head: Head, body: bytes, deployment: Deployment) -> Query:
        longest_s = deployment.conf.max_deadline_s
        return query_of(body.decode(), self.deadline_s(head.header(self.deadline_header), longest_s))

    def reply(self, context: RequestContext, result: RequestResult) -> Reply:
        return Reply(200, [*TEXT], b"= " + b"\n= ".join(json_of(result)))

    def writer(self, context: RequestContext, query: Query) -> ToyWriter:
        return ToyWriter()

    def doc(self, task: Task | None) -> Doc | None:
        if task is not None and task.output != "text":
            return None
        return Doc(
            summary="Play", bodies={"text/plain": Body({"type": "string"}, "Once")}, answers={TYPE: {"type": "string"}}
        )


class ToyList:
    methods = ("GET",)

    def __init__(self, path: str) -> None:
        self.path = path

    def answer(self, head: Head, deployment: Deployment) -> Reply:
        names = [head.pipeline] if head.pipeline else deployment.catalog.names
        return Reply(200, [*TEXT], " ".join(names).encode())

    def doc(self, task: Task | None) -> Doc:
        return Doc(summary="Say the names", answers={TYPE: {"type": "string"}})


def json_of(result: RequestResult) -> list[bytes]:
    return [output for output in result.outputs if isinstance(output, bytes)]


class ToyFrames:
    """Of one request on a socket."""

    def __init__(self, client_id: str) -> None:
        self._id = client_id

    def accepted(self, served: Served) -> Iterable[str]:
        return ()

    def started(self, event: Started) -> Iterable[str]:
        return ()

    def token(self, token: Token, generation: GenerationResult) -> Iterable[str]:
        yield f"{self._id} + {token.index}"

    def end(self, result: RequestResult) -> Iterable[str]:
        yield f"{self._id} = {json_of(result)[0].decode()}"

    def error(self, error: InferenceError) -> str:
        return f"{self._id} {written(error)}"

    def cancelled(self, query: Query | None, generation: GenerationResult | None) -> str:
        return self.error(Cancelled("As you like."))


class ToySocket:
    def receive(self, frame: str, deployment: Deployment, pipeline: str | None) -> Start | Cancel | Say | Rejected:
        client_id, _, text = frame.partition(" ")
        match text:
            case "":
                return Rejected(client_id, Malformed("Toys want a text."))
            case "hello":
                return Say([f"{client_id} hello"])
            case "stop":
                return Cancel(client_id)
            case _:
                return Start(client_id, lambda: query_of(text))

    def writer(self, client_id: str, context: RequestContext) -> ToyFrames:
        return ToyFrames(client_id)

    def error(self, client_id: str | None, context: RequestContext, error: InferenceError) -> str:
        return f"{client_id or '?'} {written(error)}"


class ToyDialect:
    name = "toy"
    prefixes = ("/toy/",)
    endpoints = (ToyEndpoint("/toy/"), ToyEndpoint("/toy/of/{pipeline}"))
    resources = (ToyList("/toy/list"), ToyList("/toy/list/{pipeline}"))

    def __init__(self) -> None:
        self.error_schema = {"type": "string", "pattern": "^! "}
        self.sockets = {"/toy/ws/": ToySocket}

    def error(self, context: RequestContext, error: InferenceError) -> Reply:
        headers = [*TEXT]
        if error.retry_after_s is not None:
            headers.append((b"x-toy-wait", b"%d" % error.retry_after_s))
        return Reply(error.status, headers, written(error).encode())


DIALECT = ToyDialect()
