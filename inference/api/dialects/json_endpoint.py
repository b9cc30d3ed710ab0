"""What endpoints have in common that take a JSON object and answer all at once."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from inference.api.dialects.base import Head, Headers, Writer
from inference.api.dialects.doc import Doc
from inference.api.dialects.reading import DeadlineInHeader, decode_object
from inference.errors import InferenceError, Invalid, Malformed, Overloaded
from inference.messaging.messages import Description
from inference.serving.context import RequestContext
from inference.serving.deployment import Deployment
from inference.serving.query import Query
from inference.serving.result import RequestResult
from inference.tasks import TASKS
from inference.tasks.base import Task
from inference.tasks.values import json_type


class JsonEndpoint(DeadlineInHeader):
    """The part of an ``Endpoint`` that reads, checks which fields there are, and finds the pipeline.

    ``model`` may name it: by its name, an alias or the id of its model.
    """

    method = "POST"
    path: str
    pipeline_in_body = True
    example: ClassVar[str]
    required: ClassVar[tuple[str, ...]]
    optional: ClassVar[Collection[str]] = ()
    needs: ClassVar[str]
    """What a pipeline has to do, in words that continue "one that"."""

    def query(self, fields: dict[str, Any]) -> Query:
        """What an object with the right fields asks. Raises ``Invalid``, ``EmptyInput``."""
        raise NotImplementedError

    def serves(self, task: Task) -> bool:
        """A pipeline of the task can do what is asked here."""
        raise NotImplementedError

    def adapted(self, query: Query, description: Description) -> Query:
        """Raises ``Invalid``."""
        if not self.serves(TASKS[description.task]):
            raise Invalid(f"This pipeline serves {description.task}; {self.path} needs one that {self.needs}.")
        return query

    def read(self, head: Head, body: bytes, deployment: Deployment) -> Query:
        return self.read_object(decode_object(body, example=self.example), head, deployment)

    def read_object(self, fields: dict[str, Any], head: Head, deployment: Deployment) -> Query:
        deadline_s = self.deadline_s(head.header(self.deadline_header), deployment.conf.max_deadline_s)
        known = (*self.required, *self.optional, "model")
        for name in fields:
            if name not in known:
                raise Invalid(f"There is no field {name[:60]!r}; known are: {', '.join(known)}.")
        for name in self.required:
            if name not in fields:
                raise Malformed(f"There is no {name!r}; send an object such as {self.example}.")
        pipeline = asked_pipeline(head, fields.get("model"), deployment)
        return self.query(fields).changed(pipeline=pipeline, deadline_s=deadline_s, adapt=self.adapted)

    def writer(self, context: RequestContext, query: Query) -> Writer:
        raise NotImplementedError("no query of this endpoint streams")

    def doc(self, task: Task | None) -> Doc | None:
        return self.described() if task is None or self.serves(task) else None

    def described(self) -> Doc:
        """``json_docs`` has one for each of these endpoints."""
        raise NotImplementedError


def asked_pipeline(head: Head, model: Any, deployment: Deployment) -> str | None:
    """The pipeline of the path, or else what ``model`` says; ``None`` for the default one. Raises ``Invalid``."""
    if head.pipeline is not None or model is None:
        return head.pipeline
    if not isinstance(model, str):
        raise Invalid(f"'model' is {json_type(model)}; it must be the name of a pipeline.")
    catalog = deployment.catalog
    return model if catalog.find(model) else next((spec.name for spec in catalog if spec.conf.model == model), model)


def given(fields: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Those of the fields that are there and not null."""
    return {name: fields[name] for name in names if fields.get(name) is not None}


def json_headers(context: RequestContext, retry_after_s: int | None = None) -> Headers:
    headers = [(b"content-type", b"application/json"), (b"x-request-id", context.id.encode())]
    return headers if retry_after_s is None else [*headers, (b"retry-after", b"%d" % retry_after_s)]


def status_of(error: InferenceError) -> int:
    """The services that these clients are made for say 429 where they have too much to do."""
    return 429 if isinstance(error, Overloaded) else error.status


def tokens_of(result: RequestResult) -> int:
    """Of all inputs, as the model read them."""
    return sum(outcome.result.tokens for outcome in result.outcomes if outcome.result)


def json_of(result: RequestResult) -> list[bytes]:
    """The answers to a query that wants neither arrays nor media."""
    return [output for output in result.outputs if isinstance(output, bytes)]
