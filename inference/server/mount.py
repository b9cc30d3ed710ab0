"""Where our routes are in this process: at the root, or below a prefix beside the paths of another project.

The limits and errors of this package are for requests below it. For others, Daphne works as it does without us.
"""

from urllib.parse import unquote

_prefix = ""


def use(prefix: str) -> None:
    """Set the prefix, such as ``/inference``; empty for the root, where every request is ours."""
    global _prefix
    _prefix = prefix


def is_ours(target: str, root_path: str = "") -> bool:
    """Whether a request is for our mount.

    Args:
        target: of the request, as the client sent it, or the path alone.
        root_path: what Daphne was started with; paths may begin with it.
    """
    return not _prefix or f"{_path(target, root_path)}/".startswith(f"{_prefix}/")


def local_path(target: str, root_path: str = "") -> str:
    """The path of a request for our mount as dialects name it: without the prefix."""
    return _path(target, root_path).removeprefix(_prefix) or "/"


def public_path(path: str) -> str:
    """The path of ``local_path`` as clients send it."""
    return _prefix + path


def _path(target: str, root_path: str) -> str:
    """As the application gets it; otherwise an encoded letter would lift the limits."""
    path = target.partition("?")[0]
    if "%" in path:
        path = unquote(path)
    return path.removeprefix(root_path.rstrip("/"))
