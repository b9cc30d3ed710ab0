"""The consumer that serves the resources of dialects."""

from inference.api.dialects.base import Resource
from inference.api.http import HttpConsumer


class ResourceConsumer(HttpConsumer):
    """Answers at once.

    Args:
        allowed: all methods that its path has.
    """

    def __init__(self, *, resource: Resource, allowed: tuple[str, ...]) -> None:
        self._resource = resource
        self._allowed = allowed

    def allowed_methods(self) -> tuple[str, ...]:
        return self._allowed

    async def respond(self) -> None:
        await self.answer(
            self._resource.answer(self.head(self._resource.path, self.scope.get("pipeline")), self.service)
        )
