import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from inference.api.dialects.native.http import NativeEndpoint
from inference.conf import Conf
from inference.errors import Overloaded
from inference.server import refusals
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
        refusing=lambda pipeline, *asking: (
            admissions[pipeline] if admissions[pipeline].refusal_reason(1, *asking) else None
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
