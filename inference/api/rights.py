"""What a key is for, as far as the path of a request tells."""

from typing import Any

from inference.access.principal import Principal
from inference.api.dialects import registry
from inference.api.paths import PIPELINE
from inference.api.scope import PIPELINES, local_path, path_of
from inference.errors import Forbidden


def asked_pipeline(scope: dict[str, Any]) -> str:
    """What a path says in the place of a pipeline's name."""
    path = path_of(scope)
    return path.removeprefix(PIPELINES) if path.startswith(PIPELINES) else str(scope["arguments"][PIPELINE])


def check_route(principal: Principal, scope: dict[str, Any]) -> None:
    """Raises ``Forbidden`` for a key that is not for the dialect of the path."""
    if principal.routes and not principal.may_speak(name := registry.of_path(local_path(scope)).name):
        allowed = ", ".join(sorted(principal.routes))
        raise Forbidden(f"This key is not for the dialect {name}; it may use: {allowed}.")
