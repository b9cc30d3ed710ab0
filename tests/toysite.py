"""Settings of a project that serves a dialect of its own."""

from importlib import import_module

from django.apps import AppConfig

from tests.held import *  # noqa: F403
from tests.held import INSTALLED_APPS as BEFORE


class ToyConfig(AppConfig):
    name = "tests"

    def ready(self) -> None:
        registry = import_module("inference.api.dialects.registry")
        registry.register(import_module("tests.toydialect").DIALECT)


INSTALLED_APPS = [*BEFORE, "tests.toysite.ToyConfig"]
