"""``/assets/inference-{version}/…``: stylesheets and scripts of the pages, from memory.

Not through ``django.contrib.staticfiles``: a project that serves no static files has styled pages all the same, and the
content security policy is right whatever ``STATIC_URL`` is. Modules import each other by relative paths, so the version
stands in the path before the name, and browsers may keep a file for ever. A path with another version has the same
files, not to be kept: in a rolling upgrade, a page may come from one web process and its scripts from another.
"""

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from inference.access.checking import Caller
from inference.api.dialects.base import Reply
from inference.api.http import HttpConsumer
from inference.errors import NotFound

FOLDER = Path(__file__).resolve().parent.parent / "static" / "inference"
TYPES = {
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}
UNCHANGING, OF_ANOTHER_VERSION = b"public, max-age=31536000, immutable", b"no-store"


class Asset(NamedTuple):
    name: str
    """Its path in the folder."""
    type: bytes
    content: bytes


class AssetConsumer(HttpConsumer):
    async def admit(self, caller: Caller) -> None:
        """They say nothing about this server."""

    async def respond(self) -> None:
        asked, *segments = self.scope["arguments"].values()
        if (asset := _by_name().get("/".join(segments))) is None:
            raise NotFound("There is no such file.")
        kept = UNCHANGING if asked == version() else OF_ANOTHER_VERSION
        await self.answer(Reply(200, [(b"content-type", asset.type), (b"cache-control", kept)], asset.content))


def patterns() -> list[str]:
    """Paths at which ``AssetConsumer`` answers, one for each depth of folders."""
    depths = {asset.name.count("/") for asset in assets()}
    return ["/assets/inference-{version}/" + "/".join(f"{{level{n}}}" for n in range(depth + 1)) for depth in depths]


@cache
def assets() -> tuple[Asset, ...]:
    """All of them, in order of their names."""
    return tuple(_read(FOLDER))


def path() -> str:
    """Where they are."""
    return f"/assets/inference-{version()}"


@cache
def version() -> str:
    """A digest of all of them."""
    digest = hashlib.sha256()
    for asset in assets():
        digest.update(asset.name.encode() + b"\0" + asset.content + b"\0")
    return digest.hexdigest()[:12]


@cache
def _by_name() -> dict[str, Asset]:
    return {asset.name: asset for asset in assets()}


def _read(folder: Path) -> Iterator[Asset]:
    for file in sorted(folder.rglob("*")):
        if kind := TYPES.get(file.suffix):
            yield Asset(file.relative_to(folder).as_posix(), kind, file.read_bytes())
