"""``/assets/{version}/…``: stylesheets and scripts of the pages, from memory.

Not through ``django.contrib.staticfiles``: a project that serves no static files has styled pages all the same, and the
content security policy is right whatever ``STATIC_URL`` is. Modules import each other by relative paths, so the version
stands in the path before the name, and browsers may keep a file for ever.
"""

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from inference.access.checking import Caller
from inference.api.dialects.base import Reply
from inference.api.http import HttpConsumer

FOLDER = Path(__file__).resolve().parent.parent / "static" / "inference"
TYPES = {
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}
UNCHANGING = b"public, max-age=31536000, immutable"


class Asset(NamedTuple):
    name: str
    """Its path in the folder."""
    type: bytes
    content: bytes


class AssetConsumer(HttpConsumer):
    def __init__(self, *, asset: Asset) -> None:
        self._asset = asset

    async def admit(self, caller: Caller) -> None:
        """They say nothing about this server."""

    async def respond(self) -> None:
        headers = [(b"content-type", self._asset.type), (b"cache-control", UNCHANGING)]
        await self.answer(Reply(200, headers, self._asset.content))


@cache
def assets() -> tuple[Asset, ...]:
    """All of them, in order of their names."""
    return tuple(_read(FOLDER))


@cache
def path() -> str:
    """Where they are; another path for each version of them."""
    digest = hashlib.sha256()
    for asset in assets():
        digest.update(asset.name.encode() + b"\0" + asset.content + b"\0")
    return f"/assets/{digest.hexdigest()[:12]}"


def _read(folder: Path) -> Iterator[Asset]:
    for file in sorted(folder.rglob("*")):
        if kind := TYPES.get(file.suffix):
            yield Asset(file.relative_to(folder).as_posix(), kind, file.read_bytes())
