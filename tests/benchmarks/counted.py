"""Settings of a server whose queries are counted: the file that ``COUNT_QUERIES`` names has a byte for each."""

import os
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.db.backends.signals import connection_created

from inferencesite.settings import *  # noqa: F403
from inferencesite.settings import INSTALLED_APPS as BEFORE

INSTALLED_APPS = [*BEFORE, "tests.benchmarks.counted.CountQueries"]


class CountQueries(AppConfig):
    name = "tests.benchmarks"

    def ready(self) -> None:
        connection_created.connect(_count_queries, weak=False)


def _count_queries(*, connection: Any, **_: Any) -> None:
    if _counted not in connection.execute_wrappers:
        connection.execute_wrappers.append(_counted)


def _counted(execute: Any, *query: Any) -> Any:
    with Path(os.environ["COUNT_QUERIES"]).open("ab") as file:
        file.write(b".")
    return execute(*query)
