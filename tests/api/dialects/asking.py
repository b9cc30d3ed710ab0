"""Requests as endpoints of dialects read them, without a server."""

import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from inference import catalog
from inference.api.dialects.base import Endpoint, Head
from inference.conf import Conf
from inference.errors import InferenceError
from inference.messaging.messages import Description
from inference.serving.query import Query
from tests.scheduling.test_host_registry import DESCRIPTION

CONF = Conf(model="acme/model", task="text-ranking")
DEPLOYMENT: Any = SimpleNamespace(conf=CONF, catalog=catalog.of(CONF))


def description(task: str) -> Description:
    return msgspec.structs.replace(DESCRIPTION, task=task)


def read(endpoint: Endpoint, body: bytes | dict[str, Any], task: str, *, pipeline: str | None = None) -> Query:
    """What is asked of a pipeline of this task."""
    written = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = Head("POST", endpoint.path, lambda name: "", pipeline=pipeline)
    return endpoint.read(head, written, DEPLOYMENT).adapted(description(task))


def refusal(endpoint: Endpoint, body: bytes | dict[str, Any], task: str) -> InferenceError:
    with pytest.raises(InferenceError) as raised:
        read(endpoint, body, task)
    assert raised.value.message.endswith(".")
    return raised.value
