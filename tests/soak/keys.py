"""Keys of a soak run's clients, in the database that its web servers share."""

import json
import subprocess
import sys
from pathlib import Path

from tests import processes

ACCESS = {"INFERENCE_ACCESS": "keys", "INFERENCE_METRICS_ACCESS": "open"}
"""The run reads metrics without a key."""
MAKE = """
import json
from inference.access import keys
from inference.models import ApiKey
made = [keys.make() for _ in range({number})]
for n, new in enumerate(made):
    ApiKey.objects.create(owner=f"owner {{n}}", name="soak", prefix=new.prefix, digest=new.digest)
print(json.dumps([new.key for new in made]))
"""


def make(database: Path, number: int) -> list[str]:
    """So many keys, each with an owner of its own: turns are those of owners."""
    if not number:
        return []
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", MAKE.format(number=number)]
    env = processes.environment(None, database)
    done = subprocess.run(command, cwd=processes.ROOT, env=env, check=True, capture_output=True, text=True)
    keys: list[str] = json.loads(done.stdout.splitlines()[-1])
    return keys


def header(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}
