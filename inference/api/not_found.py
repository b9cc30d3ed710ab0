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


class UnknownPipelineConsumer(NotFoundConsumer):
    """404 for a path that names a pipeline which there is not; it names those that there are, so it wants a key."""

    async def admit(self, caller: Caller) -> None:
        await HttpConsumer.admit(self, caller)

    async def respond(self) -> None:
        error = NotFound(no_pipeline(self.deployment.catalog, asked_pipeline(self.scope)))
        self.service.refused(self.context, error)
        raise error


class NothingInPipelineConsumer(UnknownPipelineConsumer):
    """404 below the path of a pipeline, which strangers are not to tell from one that there is not."""

    async def respond(self) -> None:
        raise NotFound(NOTHING_HERE)
