"""An app of the servers that many tests share: the request log is written soon, since so many wait for it."""

from functools import partial
from importlib import import_module
from typing import Any

from django.apps import AppConfig

INTERVAL_S = 0.05
MERGE_INTERVAL_S = 1.0


class QuickLog(AppConfig):
    name = "tests.quick_log"

    def ready(self) -> None:
        web: Any = import_module("inference.process.web")  # it imports models, for which this is the first moment
        web.RequestLog = partial(web.RequestLog, interval_s=INTERVAL_S)
        writer: Any = import_module("inference.request_log.writer")
        writer.Merger = partial(writer.Merger, MERGE_INTERVAL_S)
