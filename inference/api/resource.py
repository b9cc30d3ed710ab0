"""The consumer that serves the resources of dialects."""

from inference.access.checking import Caller
from inference.access.credentials import Keys
from inference.api.dialects.base import Probe, Resource
from inference.api.hosts import own_address
from inference.api.http import HttpConsumer


class ResourceConsumer(HttpConsumer):
    """Answers at once.

    Args:
        allowed: all methods that its path has.
    """

    of_dialect = True

    def __init__(self, *, resource: Resource, allowed: tuple[str, ...]) -> None:
        self._resource = resource
        self._allowed = allowed

    def allowed_methods(self) -> tuple[str, ...]:
        return self._allowed

    def allowed_host(self) -> bool:
        """As for monitoring: some protocols have probes of their own, which call a process by its address."""
        return super().allowed_host() or own_address(self.scope)

    def identify(self, offered: Keys) -> Caller:
        probed = isinstance(self._resource, Probe) and self._resource.for_probes
        return self.identify_probe(offered) if probed else super().identify(offered)

    async def respond(self) -> None:
        head = self.head(self._resource.path, self.scope.get("pipeline"))
        await self.answer(self._resource.answer(head, self.deployment))
