"""Requests as clients send them, and what is read of them."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from inference.api.dialects.base import Head
from inference.api.dialects.open_inference.http import ENDPOINTS
from inference.catalog import Catalog, PipelineSpec
from inference.conf import Conf
from inference.errors import InferenceError
from inference.messaging.messages import Description
from inference.serving.query import Query
from inference.testing import FakePipeline

MOST_BODY_BYTES = 4096
SERVED = "3f"
CONF = Conf(max_deadline_s=120.0, max_body_bytes=MOST_BODY_BYTES, max_media_bytes=MOST_BODY_BYTES)
DEPLOYMENT: Any = SimpleNamespace(
    conf=CONF, catalog=Catalog([PipelineSpec("words", CONF)]), description=lambda pipeline: None
)


def tensor(name: str, *data: Any, datatype: str = "BYTES", **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": [len(data)], "datatype": datatype, "data": list(data)} | more


def read(body: bytes | dict[str, Any], verb: str = "infer", version: str = "", **headers: str) -> Query:
    """The query before it is known what is served. ``headers`` have underscores in their names."""
    endpoint = next(each for each in ENDPOINTS if each.path.endswith(f"/{verb}"))
    given = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    head = Head(
        "POST",
        endpoint.path,
        lambda name: given.get(name, ""),
        {"pipeline": "words"} | ({"version": version} if version else {}),
        pipeline="words",
    )
    return endpoint.read(head, body if isinstance(body, bytes) else json.dumps(body).encode(), DEPLOYMENT)


def describe(task: str, **fields: Any) -> Description:
    return FakePipeline(task, version=SERVED, **fields).description


def infer(task: str, *tensors: dict[str, Any], **fields: Any) -> Query:
    """The query for a pipeline of this task."""
    return read({"inputs": list(tensors)} | fields).adapted(describe(task))


def refusal(body: bytes | dict[str, Any], task: str = "", verb: str = "infer", **headers: str) -> InferenceError:
    """The error of a request, perhaps only once the task is known; its message is one sentence."""
    with pytest.raises(InferenceError) as raised:
        read(body, verb, **headers).adapted(describe(task or "fill-mask"))
    message = raised.value.message
    assert message.endswith("."), message
    assert "\n" not in message
    return raised.value
