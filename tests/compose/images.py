"""Stand-ins for the images that docker-compose.yml pulls, where no registry can be reached.

All are made of Debian's packages, by debootstrap: Python 3.11, Redis 7, PostgreSQL 15 and nginx 1.22. The Python image
has the packages of requirements.txt as wheels, since a build has no index there either.
"""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import yaml

from tests.processes import ROOT

IMAGES = ("python:3.11-slim", "redis:7", "postgres:16", "nginx:1.28")
BASE = "inference-check-debian"
PACKAGES = "python3,python3-pip,python3-venv,ca-certificates,redis-server,postgresql,nginx-light"

PYTHON = f"""
FROM {BASE}
RUN ln -s python3 /usr/bin/python && rm /usr/lib/python3*/EXTERNALLY-MANAGED
COPY wheels /wheels
RUN printf '[global]\\nno-index = true\\nfind-links = /wheels\\n' > /etc/pip.conf
"""
REDIS = f"""
FROM {BASE}
USER redis
ENTRYPOINT ["sh", "-c", "exec \\"$@\\" --protected-mode no", "sh"]
"""
NGINX = f"""
FROM {BASE}
RUN rm -f /etc/nginx/sites-enabled/default && mkdir -p /etc/nginx/conf.d && chown -R www-data /var/lib/nginx
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off; error_log /dev/stderr;"]
"""
POSTGRES = f"""
FROM {BASE}
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
    assert set(named) | {"python:3.11-slim"} == {*IMAGES, "inference-server"}, "docker-compose.yml has other images"
    missing = [image for image in IMAGES if not _is_there(image)]
    if not missing:
        return []
    if not _is_there(BASE, pull=False):
        sys.stdout.write("Making a Debian image\n")
        root = folder / "root"
        _run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", root)
        _run("sh", "-c", f"tar -C {root} -c . | docker import - {BASE}")
    for image in missing:
        sys.stdout.write(f"Making a stand-in for {image}\n")
        _make(image, folder / image.partition(":")[0])
    return missing


def _make(image: str, context: Path) -> None:
    context.mkdir()
    kind = image.partition(":")[0]
    text = {"python": PYTHON, "redis": REDIS, "postgres": POSTGRES, "nginx": NGINX}[kind]
    (context / "Dockerfile").write_text(text)
    if kind == "python":
        requirements = ["-r", str(ROOT / "requirements.txt"), "async-timeout"]  # redis needs it below Python 3.11.3
        _run(sys.executable, "-m", "pip", "download", "-qqq", "--dest", context / "wheels", *requirements)
    if kind == "postgres":
        (context / "entrypoint.sh").write_text(POSTGRES_ENTRYPOINT)
    _run("docker", "build", "--quiet", "--tag", image, context)


def _is_there(image: str, *, pull: bool = True) -> bool:
    commands: Iterable[list[str]] = [["docker", "image", "inspect", image]]
    if pull:
        commands = [*commands, ["docker", "pull", "--quiet", image]]
    return any(subprocess.run(command, capture_output=True, check=False).returncode == 0 for command in commands)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
