"""``GET /docs``: the OpenAPI document for people, with a request for each operation that can be copied."""

import asyncio

from django.template.loader import render_to_string

from inference.api.dialects.base import Reply
from inference.api.http import HttpConsumer
from inference.api.openapi.document import document
from inference.api.scope import header
from inference.pages.front_page import PAGE_POLICY
from inference.pages.operations import by_tag
from inference.serving.deployment import Deployment


class DocsPage(HttpConsumer):
    async def respond(self) -> None:
        root, host = self.scope.get("root_path", ""), header(self.scope, b"host") or "localhost:8000"
        address = f"{self.scope.get('scheme', 'http')}://{host}{root}"
        page = await asyncio.to_thread(_page, self.service, root, address)  # 100 ms for many pipelines
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", PAGE_POLICY)]
        await self.answer(Reply(200, headers, page))


def _page(deployment: Deployment, root: str, address: str) -> bytes:
    described = document(deployment, root)
    context = {"root": root, "info": described["info"], "tags": by_tag(described, address)}
    return render_to_string("inference/docs_page.html", context).encode()
