"""What a dialect may ask of the process that it runs in."""

from typing import Protocol

from inference.catalog import Catalog
from inference.conf import Conf
from inference.messaging.messages import Description
from inference.serving.pipeline_state import PipelineState


class Deployment(Protocol):
    """The part of the service that reads."""

    @property
    def conf(self) -> Conf: ...
    @property
    def catalog(self) -> Catalog: ...

    def description(self, pipeline: str) -> Description | None:
        """Of what the workers of a pipeline serve; ``None`` while there was no worker."""
        ...

    def states(self) -> list[PipelineState]:
        """Of all pipelines, in the order of the catalog."""
        ...

    def unready(self, pipeline: str | None = None) -> str:
        """Why a request to a pipeline would not be served now; empty if it would. Without a name: to any pipeline."""
        ...


class PartOfDeployment:
    """What a caller sees that may use some of the pipelines: as if there were no others."""

    def __init__(self, whole: Deployment, catalog: Catalog) -> None:
        self.conf = whole.conf
        self.catalog = catalog
        self._whole = whole

    def description(self, pipeline: str) -> Description | None:
        return self._whole.description(pipeline)

    def states(self) -> list[PipelineState]:
        return [state for state in self._whole.states() if state.name in self.catalog.names]

    def unready(self, pipeline: str | None = None) -> str:
        reasons = [self._whole.unready(name) for name in ([pipeline] if pipeline else self.catalog.names)]
        return reasons[0] if all(reasons) else ""
