"""What is answered at once: the server, its health, its models and the index of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

import inference
from inference.access.principal import NOBODY
from inference.api.dialects.base import Head, Reply, Resource
from inference.api.dialects.doc import Doc
from inference.api.dialects.open_inference import docs
from inference.api.dialects.open_inference.adapting import ONLY_VERSION, check_version
from inference.api.dialects.open_inference.metadata import tensors_of
from inference.errors import Invalid, NotFound
from inference.serving.deployment import Deployment
from inference.serving.pipeline_state import PipelineState
from inference.tasks.base import Task

NAME, PLATFORM = "django-inference-server", "transformers"
EXTENSIONS = ("binary_tensor_data", "generate", "model_repository", "parameters")
INDEX_STATES = {"ready": "READY", "loading": "LOADING"}
MODEL = "/v2/models/{pipeline}"
VERSION = MODEL + "/versions/{version}"

Answer = tuple[int, Any]


@dataclass(frozen=True, slots=True)
class JsonResource:
    path: str
    make: Callable[[Head, Deployment], Answer]
    """Status and JSON value."""
    told: Doc | None
    """For the OpenAPI document."""
    methods: tuple[str, ...] = ("GET",)
    for_probes: bool = False

    def answer(self, head: Head, deployment: Deployment) -> Reply:
        status, value = self.make(head, deployment)
        return Reply(status, [(b"content-type", b"application/json")], msgspec.json.encode(value))

    def doc(self, task: Task | None) -> Doc | None:
        return docs.in_version(self.told, self.path)


def _server(head: Head, deployment: Deployment) -> Answer:
    return 200, {"name": NAME, "version": inference.__version__, "extensions": EXTENSIONS}


def _live(head: Head, deployment: Deployment) -> Answer:
    return 200, {"live": True}


def _ready(head: Head, deployment: Deployment) -> Answer:
    """``live`` is the protocol's field, ``ready`` the one that KServe's client reads."""
    reason = deployment.unready(head.pipeline)
    if head.principal is NOBODY:
        return 503 if reason else 200, {"live": True, "ready": not reason}
    return _status(reason, {"live": True, "ready": not reason})


def _model(head: Head, deployment: Deployment) -> Answer:
    state = _state(head, deployment)
    metadata = {"name": state.name, "versions": [state.version or ONLY_VERSION], "platform": PLATFORM}
    return 200, metadata | tensors_of(state.task)


def _model_ready(head: Head, deployment: Deployment) -> Answer:
    name = _state(head, deployment).name
    reason = deployment.unready(name)
    return _status(reason, {"name": name, "ready": not reason})


def _index(head: Head, deployment: Deployment) -> Answer:
    """Triton's ``extension_model_repository``."""
    states = [state for state in deployment.states() if head.pipeline in (None, state.name)]
    return 200, [
        {
            "name": state.name,
            "version": state.version,
            "state": INDEX_STATES.get(state.state, "UNAVAILABLE"),
            "reason": state.reason,
        }
        for state in states
    ]


def _managed(head: Head, deployment: Deployment) -> Answer:
    raise Invalid("Models are loaded and unloaded by the operator's settings, not by clients.")


def _unserved(head: Head, deployment: Deployment) -> Answer:
    raise NotFound("This server has no configuration and no statistics of models; see /v2/models/… and /metrics.")


def _status(reason: str, value: dict[str, Any]) -> Answer:
    return (503, value | {"reason": reason}) if reason else (200, value)


def _state(head: Head, deployment: Deployment) -> PipelineState:
    """Of the pipeline in the path. Raises ``NotFound`` for another version than is served."""
    state = next(state for state in deployment.states() if state.name == head.pipeline)
    check_version(head.arguments.get("version", ""), state.version, state.name)
    return state


RESOURCES: tuple[Resource, ...] = (
    JsonResource("/v2", _server, docs.SERVER),
    JsonResource("/v2/health/live", _live, docs.LIVE, for_probes=True),
    JsonResource("/v2/health/ready", _ready, docs.READY, for_probes=True),
    *(JsonResource(path, _model, docs.MODEL) for path in (MODEL, VERSION)),
    *(JsonResource(f"{path}/ready", _model_ready, docs.MODEL_READY) for path in (MODEL, VERSION)),
    *(JsonResource(f"{path}/{what}", _unserved, None) for path in (MODEL, VERSION) for what in ("config", "stats")),
    JsonResource("/v2/repository/index", _index, docs.INDEX, ("GET", "POST")),
    *(
        JsonResource(f"/v2/repository/models/{{pipeline}}/{verb}", _managed, None, ("POST",))
        for verb in ("load", "unload")
    ),
)
