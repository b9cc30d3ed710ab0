"""Settings of servers and workers whose model waits while a test holds it.

So a test decides what happens before an answer, however fast the machine is. The settings are those of
``inferencesite.settings``, except that the watchdog never takes a held model for one that hangs, and that the request
log is written at once.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from inference.backends.base import Turn, at_once
from inference.backends.loading import load as load_pipeline
from inference.conf import Conf
from inference.worker import watchdog
from inferencesite import settings as site
from inferencesite.settings import *  # noqa: F403
from tests.holding import HOLD, POLL_S, REPORT_MODULES, holders, modules, record

GATE = Path(os.environ[HOLD])
INFERENCE = replace(site.INFERENCE, backend=__name__)
INSTALLED_APPS = [*site.INSTALLED_APPS, "tests.quick_log.QuickLog"]


class Held:
    """Calls pass while there is no file, and as many of them afterwards as it says."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self._hold = 0
        self._passed = 0

    def __call__(self, *args: Any) -> Any:
        with suppress(FileNotFoundError):  # no hold
            if (hold := GATE.stat().st_mtime_ns) != self._hold:  # no call came between this one and the last
                self._hold, self._passed = hold, 0
            if self._passed < int(GATE.read_text()):
                self._passed += 1
                return self._call(*args)
            holders(GATE).joinpath(str(os.getpid())).touch()
            while GATE.exists():
                time.sleep(POLL_S)
        return self._call(*args)


def load(conf: Conf, report: Callable[[str], None], turn: Turn = at_once) -> Any:
    """This module is the backend, around the one that ``INFERENCE_BACKEND`` names."""
    pipeline: Any = Held(load_pipeline)(replace(conf, backend=site.INFERENCE.backend), report, turn)
    name = "step" if hasattr(pipeline, "step") else "run"
    call = getattr(pipeline, name)

    def recorded(batch: Sequence[Any], *more: Any) -> Any:
        if record(GATE).exists():
            with record(GATE).open("a") as lines:
                lines.writelines(json.dumps(prepared.job.input) + "\n" for prepared in batch)
        return call(batch, *more)

    setattr(pipeline, name, Held(recorded))
    return pipeline


def report_modules(*_: object) -> None:
    report = modules(GATE, os.getpid())
    new = report.with_name(f"{report.name}.new")
    new.write_text("\n".join(list(sys.modules)))
    new.rename(report)


signal.signal(REPORT_MODULES, report_modules)
watchdog.USUAL_LIMIT_S = watchdog.SHORTEST_LIMIT_S = 600.0
