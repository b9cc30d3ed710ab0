"""``GET /openapi.json``."""

import asyncio

from inference.api.health import MonitoringConsumer
from inference.api.openapi.document import document


class OpenApi(MonitoringConsumer):
    """The document of what is served now."""

    async def respond(self) -> None:
        root = self.scope.get("root_path", "")
        await self.answer_json(await asyncio.to_thread(document, self.deployment, root))  # 50 ms for many pipelines
