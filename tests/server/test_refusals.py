import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from inference.access.principal import ANYONE, Principal
from inference.api.dialects.native import DIALECT
from inference.api.dialects.native.http import NativeEndpoint
from inference.catalog.spec import Catalog, PipelineSpec
from inference.conf import Conf
from inference.errors import (
    DeadlineExceeded,
    Draining,
    InferenceError,
    Loading,
    Malformed,
    NotLoaded,
    Overloaded,
    WorkerLost,
)
from inference.server import refusals
from inference.server.refusals import RefusedRequest
from inference.serving.context import RequestContext
from tests.scheduling.test_admission import Queue


@pytest.mark.parametrize(
    ("header", "refused"), [("10", True), ("20", False), ("", False), ("soon", False), ("0", False)]
)
async def test_the_requests_own_deadline_counts_on_arrival(
    monkeypatch: pytest.MonkeyPatch, header: str, refused: bool
) -> None:
    """Ten seconds of work wait. A deadline that cannot be read is told by the application."""
    queue = Queue()
    queue.fill(100)
    admissions = {"chat": queue.admission}
    service = SimpleNamespace(
        refusing=lambda pipeline, peer, deadline_s, _: (
            admissions[pipeline] if admissions[pipeline].refusal_reason(1, peer, deadline_s) else None
        ),
        conf=queue.admission._conf,
        loop=asyncio.get_running_loop(),
    )
    endpoint = NativeEndpoint()
    monkeypatch.setattr("inference.serving.current_service.get", lambda: service)

    assert refusals.would_refuse(("hog", 0), endpoint, header, "chat") == refused
    error = refusals.refusal_after(0.0, ("hog", 0), endpoint, header, "chat") if refused else None
    assert isinstance(error, Overloaded) == refused


@pytest.mark.parametrize(
    ("error", "status", "after"),
    [
        (Overloaded("Later.", retry_after_s=7), 429, "7"),
        (Draining("Elsewhere."), 429, "1"),
        (Loading("Soon.", retry_after_s=3), 429, "3"),
        (NotLoaded("Perhaps later."), 429, "1"),
        (WorkerLost("It was lost."), 429, "1"),
        (DeadlineExceeded("Too late."), 504, None),
        (Malformed("No JSON."), 400, None),
    ],
    ids=lambda value: getattr(value, "code", None),
)
def test_a_client_that_asks_again_at_once_after_503_gets_429(
    error: InferenceError, status: int, after: str | None
) -> None:
    """The dialect's answer is the same otherwise, and that of other clients."""

    def refused(agent: str) -> tuple[int, dict[bytes, bytes], bytes]:
        request = RefusedRequest(DIALECT, header=lambda name: agent if name == b"user-agent" else "")
        reply = refusals.refuse(request, context, error)
        return reply.status, dict(reply.headers), reply.body

    context = RequestContext(transport="http")
    got, headers, body = refused("@huggingface/inference/4.13.30")
    as_ever, of_others, body_of_others = refused("python-requests/2.32")
    assert (got, headers.get(b"retry-after")) == (status, after.encode() if after else None)
    assert (as_ever, body_of_others) == (error.status, body)
    assert of_others.keys() - headers.keys() == set()


@pytest.mark.parametrize(
    ("path", "pipeline"),
    [
        ("/", "chat"),
        ("/pipelines/topics", "topics"),
        ("/pipelines/acme/topics/", "topics"),
    ],
)
def test_what_the_server_refuses_is_of_the_pipeline_of_its_path(settings: Any, path: str, pipeline: str) -> None:
    model = {"task": "fill-mask", "model": "a/model"}
    settings.INFERENCE = Conf(pipelines={"chat": model, "topics": model | {"aliases": ["acme/topics"]}})
    assert refusals.pipeline_of(path) == pipeline


@pytest.mark.parametrize("path", ["/pipelines/nobody", "/pipelines/topics/none", "/none", "*"])
def test_where_no_endpoint_is_there_is_no_pipeline(settings: Any, path: str) -> None:
    settings.INFERENCE = Conf(pipelines={"topics": {"task": "fill-mask", "model": "a/model"}})
    with pytest.raises(LookupError):
        refusals.pipeline_of(path)


@pytest.mark.parametrize(
    ("path", "principal", "most"),
    [
        ("/pipelines/images", ANYONE, 3000),
        ("/pipelines/images", Principal(pipelines=frozenset({"words"})), 1000),
        ("/pipelines/nothing", Principal(pipelines=frozenset({"words"})), 1000),
        ("/v1/chat/completions", ANYONE, 3000),
        ("/v1/chat/completions", Principal(pipelines=frozenset({"words"})), 1000),
        ("/", ANYONE, 1000),
        ("/", Principal(pipelines=frozenset({"images"})), 3000),
        ("/", Principal(pipelines=frozenset({"gone"})), 1000),
    ],
)
def test_how_large_a_body_may_be_tells_nothing_of_pipelines_that_the_key_is_not_for(
    monkeypatch: pytest.MonkeyPatch, path: str, principal: Principal, most: int
) -> None:
    sizes = {"words": 1000, "images": 3000}
    whole = Catalog(PipelineSpec(name, Conf()) for name in sizes)

    def seen_by(caller: Principal) -> SimpleNamespace:
        catalog = whole.only(caller.pipelines) if caller.pipelines else whole
        if catalog is None:
            raise Malformed("None of them.")
        return SimpleNamespace(catalog=catalog)

    def most_body_bytes(pipeline: str | None, seen: Catalog) -> int:
        return max(sizes[name] for name in ([pipeline] if pipeline else seen.names))

    service = SimpleNamespace(seen_by=seen_by, most_body_bytes=most_body_bytes)
    monkeypatch.setattr("inference.serving.current_service.get", lambda: service)
    monkeypatch.setattr("inference.catalog.current", lambda: whole)
    monkeypatch.setattr("inference.conf.current", lambda: Conf(max_body_bytes=1000))
    assert refusals.most_body_bytes(path, principal) == most
