"""How many cores this process may use."""

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def available() -> int:
    """Cores that the process may run on, or fewer if a control group (a container, a systemd unit) has a quota."""
    return min(len(os.sched_getaffinity(0)), *map(math.ceil, quotas()), 2**20)


def quotas(root: Path = CGROUPS, own: Path = OWN) -> list[float]:
    """The quotas of the process's control groups in cores; at least 1 each.

    Of version 2, the group and those around it; a container sees its own as the root. Of version 1, the root.
    https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files
    """
    found = [_ratio(*text.split()) for group in groups(root, own) if (text := _read(group / "cpu.max"))]
    first = root / "cpu/cpu.cfs_quota_us", root / "cpu/cpu.cfs_period_us"
    if all(texts := [_read(path) for path in first]):
        found.append(_ratio(*texts))
    return [quota for quota in found if quota > 0]


def groups(root: Path, own: Path) -> list[Path]:
    path = next((line[3:] for line in _read(own).splitlines() if line.startswith("0::")), "/")
    group = root / path.strip("/")
    return [group, *(parent for parent in group.parents if parent.is_relative_to(root))]


def _ratio(quota: str, period: str) -> float:
    """0 for no quota: ``max`` or a negative number."""
    return 0.0 if quota == "max" or quota.startswith("-") else max(1.0, int(quota) / int(period))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
