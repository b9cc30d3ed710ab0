"""An app of the servers that many tests share: rows of the request log are written soon, since so many wait for one."""

from functools import partial
from importlib import import_module
from typing import Any

from django.apps import AppConfig

INTERVAL_S = 0.05


class QuickLog(AppConfig):
    name = "tests.quick_log"

    def ready(self) -> None:
        web: Any = import_module("inference.process.web")  # it imports models, for which this is the first moment
        web.RequestLog = partial(web.RequestLog, interval_s=INTERVAL_S)
