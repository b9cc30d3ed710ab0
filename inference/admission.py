"""Who gets in: permits, counted in inputs. A refusal comes before any work is done."""

from collections.abc import Iterator
from contextlib import contextmanager

from inference.dispatcher import Dispatcher
from inference.errors import Draining, InferenceError, Loading, Overloaded, PayloadTooLarge

RETRY_AFTER_S = {Overloaded: 1, Loading: 5, Draining: 5}


class Admission:
    """A permit is held from admission until the client is answered or gone, and released once."""

    def __init__(self, dispatcher: Dispatcher, *, max_pending: int, max_inputs: int) -> None:
        self.draining = False
        self.taken = 0
        self._dispatcher = dispatcher
        self._max_pending = max_pending
        self._max_inputs = max_inputs

    def refusal(self, inputs: int = 1) -> InferenceError | None:
        """Why so many inputs would be refused now, if they would."""
        if self.draining:
            return _refused(Draining, "This server is stopping")
        if self.taken + inputs <= self._max_pending:
            return None
        if not self._dispatcher.roster.ready():
            return _refused(Loading, "No worker is ready yet and the queue is full")
        return _refused(Overloaded, f"{self.taken} inputs are waiting, {self._max_pending} are allowed")

    @contextmanager
    def permits(self, inputs: int) -> Iterator[None]:
        """Hold a permit for each input.

        Raises:
            PayloadTooLarge: more inputs than one request may have.
            Overloaded, Loading, Draining: come back later.
        """
        if inputs > self._max_inputs:
            raise PayloadTooLarge(f"There are {inputs} inputs; one request may have {self._max_inputs}.")
        if (error := self.refusal(inputs)) is not None:
            raise error
        self.taken += inputs
        try:
            yield
        finally:
            self.taken -= inputs


def _refused(kind: type[InferenceError], reason: str) -> InferenceError:
    seconds = RETRY_AFTER_S[kind]
    return kind(f"{reason}; try again in {seconds} s.", retry_after_s=seconds)
