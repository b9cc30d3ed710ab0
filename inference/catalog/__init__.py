"""Runs in all processes: which pipelines this deployment serves. Imports no model library.

In: the settings, and the TOML file that they may name. Out: the catalog, with a name and settings for each pipeline.
"""

from functools import lru_cache
from typing import Any

from django.core.signals import setting_changed
from django.dispatch import receiver

from inference import conf
from inference.catalog.reading import KEYS, RESERVED, read
from inference.catalog.spec import Catalog, PipelineSpec
from inference.conf import Conf

__all__ = ["KEYS", "RESERVED", "Catalog", "PipelineSpec", "current", "of"]


def current() -> Catalog:
    """The catalog of the settings in force. The file is read once.

    Raises:
        ImproperlyConfigured: see ``of``.
    """
    return _read_once(conf.current())


def of(settings: Conf) -> Catalog:
    """The catalog of these settings. Each call reads the file.

    Raises:
        ImproperlyConfigured: the file cannot be read, or what it says cannot be right; one sentence says what would be.
    """
    return read(settings)


_read_once = lru_cache(maxsize=8)(read)


@receiver(setting_changed)
def _forget(setting: str, **_: Any) -> None:
    """So that ``override_settings`` works."""
    if setting == "INFERENCE":
        _read_once.cache_clear()
