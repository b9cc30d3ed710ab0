"""Which scripts a script needs, so that a page can name them all at once and none waits for another to be read."""

import posixpath
import re
from collections.abc import Iterator
from functools import cache

from inference.pages import assets

_IMPORT = re.compile(r"""^(?:import|export)\b[^;]*?\bfrom "(\.{1,2}/[^"]+)";""", re.MULTILINE)


@cache
def needed(*names: str) -> tuple[str, ...]:
    """The scripts themselves and those that they import, not those that they load when they need them."""
    contents = {asset.name: asset.content.decode() for asset in assets.assets() if asset.name.endswith(".js")}
    found: dict[str, None] = {}

    def add(name: str) -> None:
        if name not in found and name in contents:
            found[name] = None
            for imported in imports(name, contents[name]):
                add(imported)

    for name in names:
        add(name)
    return tuple(found)


def imports(name: str, content: str) -> Iterator[str]:
    """Names of the scripts that a script of this name and content imports at its top."""
    for path in _IMPORT.findall(content):
        yield posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
