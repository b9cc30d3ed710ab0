"""A deployment of two pipelines, and what asks it."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from inference import conf
from inference.api.dialects.base import Head
from inference.catalog import Catalog, PipelineSpec


@pytest.fixture(scope="package")
def deployment() -> Any:
    """``chat`` is the default pipeline."""
    settings = conf.current()
    specs = [
        PipelineSpec("chat", replace(settings, task="text-generation", model="acme/talks-1b"), ("acme/chat",)),
        PipelineSpec("meaning", replace(settings, task="feature-extraction", model="acme/means-1b")),
    ]
    return SimpleNamespace(conf=settings, catalog=Catalog(specs), states=list)


@pytest.fixture(scope="package")
def head() -> Callable[..., Head]:
    def make(*, pipeline: str | None = None, **arguments: str) -> Head:
        return Head("POST", "/v1/x", lambda name: "", arguments=arguments, pipeline=pipeline)

    return make
