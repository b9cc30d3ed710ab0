"""The hook by which a project redacts what the request log keeps of inputs: ``INFERENCE_LOG_REDACTOR``."""

import logging
import time
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

logger = logging.getLogger(__name__)

REPORT_S = 60.0


class Redactor:
    """Calls the function with each text. If it fails, nothing is kept, which is reported once in a minute."""

    def __init__(self, function: Callable[[str], str], clock: Callable[[], float] = time.monotonic) -> None:
        self._function = function
        self._clock = clock
        self._report_at = 0.0

    def redacted(self, value: Any) -> Any:
        """A JSON value with all its texts redacted; ``None`` if that failed."""
        try:
            return self._redacted(value)
        except Exception as error:  # of the project's function, or of a value that is nested too deeply
            self._report(error)
            return None

    def text(self, text: str) -> str:
        """Empty if it failed."""
        return self.redacted(text) or "" if text else ""

    def _redacted(self, value: Any) -> Any:
        if isinstance(value, str):
            text = self._function(value)
            if not isinstance(text, str):
                raise TypeError(f"INFERENCE_LOG_REDACTOR gave {type(text).__name__}; it must give a text.")
            return text
        if isinstance(value, dict):
            return {self._redacted(name): self._redacted(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._redacted(inner) for inner in value]
        return value

    def _report(self, error: Exception) -> None:
        """Without the error's message and traceback, which may have the text."""
        now = self._clock()
        if now >= self._report_at:
            self._report_at = now + REPORT_S
            logger.error(
                "INFERENCE_LOG_REDACTOR failed (%s): nothing is kept of such inputs. Reported once a minute.",
                type(error).__name__,
            )


def configured(path: str) -> Redactor | None:
    """``None`` for an empty path.

    Raises:
        ImproperlyConfigured: there is no such function.
    """
    if not path:
        return None
    try:
        function = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"INFERENCE_LOG_REDACTOR is {path!r}, which cannot be imported: {error}.") from error
    if not callable(function):
        raise ImproperlyConfigured(f"INFERENCE_LOG_REDACTOR is {path!r}; it must be a function from text to text.")
    return Redactor(function)
