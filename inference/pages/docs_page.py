"""``GET /docs``: the OpenAPI document for people, with a request for each operation that can be copied."""

import asyncio

from django.template.loader import render_to_string

from inference.api.openapi.document import document
from inference.api.scope import header
from inference.pages.operations import by_tag
from inference.pages.page import Page
from inference.serving.deployment import Deployment


class DocsPage(Page):
    async def respond(self) -> None:
        root, host = self.scope.get("root_path", ""), header(self.scope, b"host") or "localhost:8000"
        address = f"{self.scope.get('scheme', 'http')}://{host}{root}"
        page = await asyncio.to_thread(_page, self.deployment, root, address)  # 100 ms for many pipelines
        await self.answer_page(page)


def _page(deployment: Deployment, root: str, address: str) -> bytes:
    described = document(deployment, root)
    context = {"root": root, "info": described["info"], "tags": by_tag(described, address)}
    return render_to_string("inference/docs_page.html", context).encode()
