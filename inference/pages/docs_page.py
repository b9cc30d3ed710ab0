"""``GET /docs``: the OpenAPI document for people, with a request for each operation that can be copied."""

from inference.api.openapi.document import document
from inference.pages.operations import by_tag
from inference.pages.page import Context, Page


class DocsPage(Page):
    async def respond(self) -> None:
        root, url, deployment = self.root, self.url, self.deployment

        def context() -> Context:  # 100 ms for many pipelines
            described = document(deployment, root)
            return {"here": "docs", "info": described["info"], "tags": by_tag(described, url)}

        await self.answer_page("inference/pages/docs.html", context)
