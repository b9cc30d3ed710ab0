"""Consumers of paths where nothing is."""

from inference.access.checking import Caller
from inference.api.http import HttpConsumer
from inference.api.rights import asked_pipeline
from inference.errors import NotFound
from inference.serving.service import no_pipeline

NOTHING_HERE = "There is nothing at this path; the page /docs lists what there is."


class NotFoundConsumer(HttpConsumer):
    """404 for every other path below the prefix. A preflight is answered, so that its page can read that."""

    def check_host(self) -> None:
        """Nothing is here under any name."""

    def check(self) -> None:
        """Nothing is here for any method."""

    def is_about_options(self) -> bool:
        return super().is_about_options() and self.is_preflight()

    def allowed_methods(self) -> tuple[str, ...]:
        return (self.header(b"access-control-request-method"),)

    async def admit(self, caller: Caller) -> None:
        """Which paths there are is known to everybody."""

    async def respond(self) -> None:
        raise NotFound(NOTHING_HERE)


class NotInPipelineConsumer(NotFoundConsumer):
    """404 for a path that names a pipeline where that is not, or has nothing there.

    It names those that there are, so it wants a key; also where it does not, or those without one could tell them.
    """

    async def admit(self, caller: Caller) -> None:
        await HttpConsumer.admit(self, caller)

    async def respond(self) -> None:
        if self.scope.get("pipeline") is not None:
            raise NotFound(NOTHING_HERE)
        error = NotFound(no_pipeline(self.deployment.catalog, asked_pipeline(self.scope)))
        self.service.refused(self.context, error)
        raise error
