"""What is under way with each key, so that it can be ended when the key works no more."""

from collections.abc import Callable, Iterator

from inference.errors import InferenceError


class KeyUse:
    """One request or socket of a key, from its start until ``end``."""

    __slots__ = ("_open", "_stop", "error", "key")

    def __init__(self, open_work: "OpenWork", key: str, stop: Callable[[], object]) -> None:
        self.key = key
        self.error: InferenceError | None = None
        """Why it was stopped."""
        self._open = open_work
        self._stop = stop

    def stop(self, error: InferenceError) -> None:
        """Once; ``error`` is set when the function of its owner is called."""
        if self.error is None:
            self.error = error
            self._stop()

    def end(self) -> None:
        self._open.remove(self)


class OpenWork:
    """An index by key. Lives on one event loop."""

    def __init__(self) -> None:
        self._by_key: dict[str, dict[KeyUse, None]] = {}

    def __iter__(self) -> Iterator[str]:
        """The keys that are in use."""
        return iter([*self._by_key])

    def add(self, key: str, stop: Callable[[], object]) -> KeyUse:
        """``stop`` is called if the key ceases to work before ``KeyUse.end``."""
        use = KeyUse(self, key, stop)
        self._by_key.setdefault(key, {})[use] = None
        return use

    def remove(self, use: KeyUse) -> None:
        if (uses := self._by_key.get(use.key)) is not None:
            uses.pop(use, None)
            if not uses:
                del self._by_key[use.key]

    def stop(self, key: str, error: InferenceError) -> None:
        """What was begun first is stopped first: a socket before the requests on it."""
        for use in [*self._by_key.get(key, ())]:
            use.stop(error)
