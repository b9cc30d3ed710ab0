"""Whether there is memory for a model, before its weights are loaded: otherwise the system ends the whole process."""

import ctypes
import gc
import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from transformers.utils import cached_file
from transformers.utils.hub import get_checkpoint_shard_files

from inference.backends.base import LoadFailed
from inference.backends.transformers.cores import CGROUPS, OWN, groups
from inference.backends.transformers.source import Source
from inference.conf import GGUF

RESERVE = 1.3
"""Times the weights: activations, tokenizer and what the allocator cannot use."""
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
MEMINFO = Path("/proc/meminfo")


class Free(NamedTuple):
    megabytes: float
    where: str


def check(source: Source, name: str, device: str, dtype: Any, *, in_place: bool = False) -> None:
    """Raises ``LoadFailed`` with the figures if the model would not fit. Nothing is known before it is downloaded.

    ``in_place``: its layers are packed one after the other, and not all beside the original ones.
    """
    weights_mb = sum(map(_parameters, _files(source))) * _bytes_each(dtype) / 1e6
    packed = device == "cpu" and not in_place and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    copies = 2 if packed else 1  # see ``packed_linear``
    needed_mb = RESERVE * copies * weights_mb
    free = min(available(device), default=None)
    if free is not None and free.megabytes < needed_mb:
        raise LoadFailed(
            f"{name} needs about {needed_mb:,.0f} MB while it is loaded ({weights_mb:,.0f} MB of weights"
            f"{', twice while layers are packed' if copies == 2 else ''}), and {free.where} has "
            f"{free.megabytes:,.0f} MB free; free some, choose a smaller model, or load it in another host."
        )


def give_back() -> None:
    """What loading has freed, to the system: glibc keeps it, between what is still in use, for what comes next."""
    gc.collect()
    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def available(device: str) -> Iterator[Free]:
    """What is free, by each limit that there is."""
    if device.startswith("cuda"):
        yield Free(torch.cuda.mem_get_info(device)[0] / 1e6, device)
        return
    yield from in_control_groups()
    for line in _lines(MEMINFO):
        if line.startswith("MemAvailable:"):
            yield Free(int(line.split()[1]) * 1024 / 1e6, "the machine")


def in_control_groups(root: Path = CGROUPS, own: Path = OWN) -> Iterator[Free]:
    """Of version 2; what is kept of files can be freed.

    https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
    """
    for group in groups(root, own):
        limit, used = "".join(_lines(group / "memory.max")), "".join(_lines(group / "memory.current"))
        if limit.isdigit() and used.isdigit():
            kept = [int(line.split()[1]) for line in _lines(group / "memory.stat") if line.startswith("inactive_file ")]
            yield Free((int(limit) - int(used) + sum(kept)) / 1e6, "its control group")


def _files(source: Source) -> list[Path]:
    """The files with the weights, where they are on this machine."""
    revision = source.revision or None
    place = {"path_or_repo_id": source.model, "revision": revision}
    quiet = {"local_files_only": True, "_raise_exceptions_for_missing_entries": False}
    with suppress(OSError, ValueError):  # loading says what is wrong
        if whole := cached_file(filename=source.gguf or WEIGHTS, **place, **quiet):
            return [Path(whole)]
        if index := cached_file(filename=INDEX, **place, **quiet):
            shards, _ = get_checkpoint_shard_files(source.model, index, revision=revision, local_files_only=True)
            return list(map(Path, shards))
    return []


def _parameters(path: Path) -> int:
    """How many numbers a file has; its weights are not read."""
    if path.suffix == GGUF:
        import gguf  # noqa: PLC0415 - not everybody has it

        return sum(int(tensor.n_elements) for tensor in gguf.GGUFReader(path).tensors)
    try:
        with safe_open(path, framework="pt") as opened:
            return sum(math.prod(opened.get_slice(key).get_shape()) for key in opened.keys())  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError):
        return 0  # loading says what is wrong


def _bytes_each(dtype: Any) -> int:
    """Of a number; ``auto``, the checkpoint's own dtype, is mostly of two bytes."""
    return dtype.itemsize if isinstance(dtype, torch.dtype) else 2


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
