"""Stand-ins for the images that docker-compose.yml pulls, where no registry can be reached.

All are made of Debian's packages, by debootstrap: Python 3.11, Redis 7, PostgreSQL 15 and nginx 1.22. The Python image
has nothing else, as the stock one, and in a layer of their own the packages of requirements.txt as wheels, since a
build has no index there either.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import yaml

from tests.processes import ROOT

IMAGES = ("python:3.11-slim", "redis:7", "postgres:16", "nginx:1.28")
BASES = {
    "inference-check-python": "python3,python3-pip,ca-certificates",
    "inference-check-debian": "redis-server,postgresql,nginx-light",
}
"""Packages of each."""
UNNEEDED = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")
WHEELS = "COPY wheels"

PYTHON = f"""
FROM inference-check-python
RUN ln -s python3 /usr/bin/python && rm /usr/lib/python3*/EXTERNALLY-MANAGED
{WHEELS} /wheels
RUN printf '[global]\\nno-index = true\\nfind-links = /wheels\\n' > /etc/pip.conf
"""
REDIS = """
FROM inference-check-debian
VOLUME /data
USER redis
ENTRYPOINT ["sh", "-c", "exec \\"$@\\" --protected-mode no", "sh"]
"""
NGINX = """
FROM inference-check-debian
RUN rm -f /etc/nginx/sites-enabled/default && mkdir -p /etc/nginx/conf.d && chown -R www-data /var/lib/nginx
RUN ln -sf /dev/stdout /var/log/nginx/access.log && ln -sf /dev/stderr /var/log/nginx/error.log
STOPSIGNAL SIGQUIT
"""
POSTGRES = """
FROM inference-check-debian
RUN install --directory --owner postgres /var/lib/postgresql/data /run/postgresql
RUN ln -s /usr/lib/postgresql/15/bin/* /usr/local/bin/
COPY entrypoint.sh /entrypoint.sh
USER postgres
STOPSIGNAL SIGINT
ENTRYPOINT ["sh", "/entrypoint.sh"]
"""
# As the stock image does it: the temporary server listens to a socket only.
POSTGRES_ENTRYPOINT = """
set -e
export PGDATA=/var/lib/postgresql/data/pgdata
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    echo "$POSTGRES_PASSWORD" > /tmp/password
    initdb --username "$POSTGRES_USER" --pwfile /tmp/password --auth-host scram-sha-256 --auth-local trust > /dev/null
    rm /tmp/password
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    pg_ctl --wait --options "-c listen_addresses=''" start > /dev/null
    sleep 8
    createdb --username "$POSTGRES_USER" "$POSTGRES_DB"
    pg_ctl --wait --mode fast stop > /dev/null
fi
exec postgres -c listen_addresses='*'
"""


def make_missing(folder: Path) -> list[str]:
    """Make the images that are neither there nor can be pulled; returns their names.

    ``folder`` is for scratch files.
    """
    named = [
        service["image"] for service in yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].values()
    ]
    stock = {name for name in named if not name.startswith("inference-server:")}
    assert stock | {"python:3.11-slim"} == set(IMAGES), "docker-compose.yml has other images"
    missing = [image for image in IMAGES if not _is_there(image)]
    for image in missing:
        sys.stdout.write(f"Making a stand-in for {image}\n")
        _make(image, folder / image.partition(":")[0])
    return missing


def layers(image: str) -> list[tuple[int, str]]:
    """Bytes of each layer and what made it, the newest first. The wheels of a stand-in are none of the image's."""
    command = ["docker", "history", "--no-trunc", "--human=false", "--format", "{{.Size}}\t{{.CreatedBy}}", image]
    rows = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found = [(int(size), made) for size, _, made in (row.partition("\t") for row in rows)]
    return [(size, made) for size, made in found if size and WHEELS not in made]


def _make(image: str, context: Path) -> None:
    context.mkdir()
    kind = image.partition(":")[0]
    text = {"python": PYTHON, "redis": REDIS, "postgres": POSTGRES, "nginx": NGINX}[kind]
    base = text.split()[1]
    if not _is_there(base, pull=False):
        _bootstrap(base, context / "root")
    (context / "Dockerfile").write_text(text)
    if kind == "python":
        requirements = ["-r", str(ROOT / "requirements.txt"), "async-timeout"]  # redis needs it below Python 3.11.3
        _run(sys.executable, "-m", "pip", "download", "-qqq", "--dest", context / "wheels", *requirements)
    if kind == "postgres":
        (context / "entrypoint.sh").write_text(POSTGRES_ENTRYPOINT)
    _run("docker", "build", "--quiet", "--tag", image, context)


def _bootstrap(base: str, root: Path) -> None:
    sys.stdout.write(f"Making {base} of Debian's packages\n")
    _run("debootstrap", "--variant=minbase", f"--include={BASES[base]}", "bookworm", root)
    for folder in UNNEEDED:
        shutil.rmtree(root / folder, ignore_errors=True)
    _run("sh", "-c", f"tar -C {root} -c . | docker import - {base}")
    shutil.rmtree(root)


def _is_there(image: str, *, pull: bool = True) -> bool:
    commands: Iterable[list[str]] = [["docker", "image", "inspect", image]]
    if pull:
        commands = [*commands, ["docker", "pull", "--quiet", image]]
    return any(subprocess.run(command, capture_output=True, check=False).returncode == 0 for command in commands)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
