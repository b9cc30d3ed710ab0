"""The files of the pages, by whatever version a page asks for."""

from collections.abc import AsyncIterator

import httpx
import pytest

from inference.api.not_found import NOTHING_HERE
from inference.pages import assets
from inference.testing import FakePipeline, running
from inferencesite.asgi import application

OTHER = "/assets/inference-0123456789ab"
"""Of another release, whose web process made the page."""


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    with running(FakePipeline()):
        transport = httpx.ASGITransport(app=application)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as opened:
            yield opened


async def test_every_file_is_there_and_may_be_kept(http: httpx.AsyncClient):
    for asset in assets.assets():
        reply = await http.get(f"{assets.path()}/{asset.name}")
        assert (reply.status_code, reply.content) == (200, asset.content)
        assert reply.headers["content-type"] == asset.type.decode()
        assert "immutable" in reply.headers["cache-control"]


async def test_a_page_of_another_release_has_its_files_which_are_not_kept(http: httpx.AsyncClient):
    for asset in assets.assets():
        reply = await http.get(f"{OTHER}/{asset.name}")
        assert (reply.status_code, reply.content) == (200, asset.content)
        assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", [f"{OTHER}/none.js", f"{assets.path()}/playground/none.js"])
async def test_a_file_that_is_not_there(http: httpx.AsyncClient, path: str):
    reply = await http.get(path)
    assert (reply.status_code, reply.json()["error_type"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/assets/site.css", "/assets/css/site.css", f"{OTHER}", f"{OTHER}/a/b/c/d.js"])
async def test_other_paths_are_those_of_the_project(http: httpx.AsyncClient, path: str):
    reply = await http.get(path)
    assert (reply.status_code, reply.json()["error"]) == (404, NOTHING_HERE)
