"""Which pipeline ``model`` means, and the list of all."""

from collections.abc import Iterable
from typing import Any

import msgspec

from inference.api.dialects.base import Head, Reply
from inference.api.dialects.doc import Doc
from inference.api.dialects.openai import docs
from inference.api.dialects.openai.errors import InvalidField, ModelNotFound
from inference.catalog import PipelineSpec
from inference.serving.deployment import Deployment
from inference.tasks.base import Task
from inference.tasks.values import json_type

ANY = "dummy"
"""What ``huggingface_hub`` sends where its user named only an address; ``@huggingface/inference`` sends the address."""
ADDRESSES = ("http://", "https://")


def asked_pipeline(head: Head, model: Any, deployment: Deployment) -> PipelineSpec:
    """The pipeline with this name, alias or model; that of the path, whatever ``model`` is; or the default one.

    Raises:
        InvalidField: not a text.
        ModelNotFound: there is none.
    """
    catalog = deployment.catalog
    if head.pipeline is not None and (spec := catalog.find(head.pipeline)) is not None:
        return spec
    if model is None or model == ANY:
        return catalog.default
    if not isinstance(model, str):
        raise InvalidField("model", f"'model' is {json_type(model)}; it must be the name of a pipeline.")
    if model.startswith(ADDRESSES):
        return catalog.default
    if spec := catalog.find(model) or next((spec for spec in catalog if spec.conf.model == model), None):
        return spec
    raise ModelNotFound(f"There is no model {model[:60]!r} here; known are {', '.join(catalog.names)}.")


class ModelList:
    """The pipelines by their names; below ``/pipelines/{name}``, that one."""

    methods = ("GET",)
    path = "/v1/models"

    def answer(self, head: Head, deployment: Deployment) -> Reply:
        specs = [spec for spec in deployment.catalog if head.pipeline in (None, spec.name)]
        return _reply({"object": "list", "data": _cards(specs, deployment)})

    def doc(self, task: Task | None) -> Doc:
        return docs.MODELS


class OneModel:
    """A pipeline by what ``model`` may be, which may have a slash in it."""

    methods = ("GET",)

    def __init__(self, path: str) -> None:
        self.path = path

    def answer(self, head: Head, deployment: Deployment) -> Reply:
        return _reply(_cards([asked_pipeline(head, "/".join(head.arguments.values()), deployment)], deployment)[0])

    def doc(self, task: Task | None) -> Doc:
        return docs.MODEL


def _cards(specs: Iterable[PipelineSpec], deployment: Deployment) -> list[dict[str, Any]]:
    """With the state of those that are not ready, a field that OpenAI does not have."""
    unready = {each.name: {"state": each.state} for each in deployment.states() if each.state != "ready"}
    return [
        {"id": spec.name, "object": "model", "created": 0, "owned_by": "inference"} | unready.get(spec.name, {})
        for spec in specs
    ]


def _reply(value: Any) -> Reply:
    return Reply(200, [(b"content-type", b"application/json")], msgspec.json.encode(value))
