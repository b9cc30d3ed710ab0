"""Settings of servers whose database is locked in a test: they wait for a tenth of the usual time."""

from inferencesite.settings import *  # noqa: F403
from inferencesite.settings import DATABASES

DATABASES["default"]["OPTIONS"]["timeout"] = 0.5
