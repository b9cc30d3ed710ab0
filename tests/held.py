"""Settings of servers and workers whose model waits while a test holds it.

What has to happen before an answer comes then does, however fast or slow the machine is. Everything else is that of
``inferencesite.settings``, except that nothing takes a model that is held for one that hangs.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from inference.backends.transformers import backend
from inference.conf import Conf
from inference.worker import watchdog
from inferencesite import settings as site
from inferencesite.settings import *  # noqa: F403
from tests.holding import HOLD, POLL_S, holders, record

GATE = Path(os.environ[HOLD])
INFERENCE = replace(site.INFERENCE, backend=__name__)


class Held:
    """Calls pass while there is no file, and the first few of them after it came."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self._passed = 0

    def __call__(self, *args: Any) -> Any:
        with suppress(FileNotFoundError):  # it is open
            if self._passed < int(GATE.read_text()):
                self._passed += 1
                return self._call(*args)
            holders(GATE).joinpath(str(os.getpid())).touch()
            while GATE.exists():
                time.sleep(POLL_S)
        self._passed = 0
        return self._call(*args)


def load(conf: Conf, report: Callable[[str], None]) -> Any:
    """This module is the backend, around the real one."""
    pipeline: Any = Held(backend.load)(conf, report)
    name = "step" if hasattr(pipeline, "step") else "run"
    call = getattr(pipeline, name)

    def recorded(batch: Sequence[Any]) -> Any:
        if record(GATE).exists():
            with record(GATE).open("a") as lines:
                lines.writelines(json.dumps(prepared.job.input) + "\n" for prepared in batch)
        return call(batch)

    setattr(pipeline, name, Held(recorded))
    return pipeline


watchdog.LEAST_S = watchdog.LEAST_OF_ALL_S = 600.0
