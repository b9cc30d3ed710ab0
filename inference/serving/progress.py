"""What a request's caller hears before the result."""

from inference.messaging.messages import Started, Token
from inference.serving.generation_result import GenerationResult
from inference.serving.result import Served


class Progress:
    """Called by the service on its event loop; this one ignores everything. Methods must not block or raise."""

    wants_started = False
    """``started`` is of use; otherwise workers do not report it."""

    def admitted(self, served: Served) -> None:
        """The request is valid and will be answered by this pipeline."""

    def started(self, event: Started) -> None:
        """Its first input enters the model."""

    def token(self, token: Token, generation: GenerationResult) -> None:
        """A streamed token, the last of its text excepted."""

    def finished(self, generation: GenerationResult) -> None:
        """A streamed text is complete, with its last token; others of the request may still grow."""
