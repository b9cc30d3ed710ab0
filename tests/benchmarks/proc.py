"""What processes and the machine cost, read from /proc. Linux only."""

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")

# Positions in /proc/PID/stat after the name, which may itself contain blanks and brackets.
_SESSION, _UTIME, _CSTIME, _RSS = 3, 11, 14, 21


def _stats(sessions: Collection[int]) -> Iterator[list[str]]:
    """One row per process of these sessions. (Each server is started in a session of its own.)"""
    return (row for _, row in _processes(sessions))


def _pids(sessions: Collection[int]) -> list[int]:
    return [pid for pid, _ in _processes(sessions)]


def _processes(sessions: Collection[int]) -> Iterator[tuple[int, list[str]]]:
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            row = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if int(row[_SESSION]) in sessions:
            yield int(entry.name), row


def cpu_s(sessions: Sequence[int]) -> list[float]:
    """CPU seconds of each session so far, children that have ended included."""
    spent = dict.fromkeys(sessions, 0)
    for row in _stats(sessions):
        spent[int(row[_SESSION])] += sum(map(int, row[_UTIME : _CSTIME + 1]))
    return [ticks * TICK_S for ticks in spent.values()]


def favour(session: int) -> None:
    """Let the scheduler prefer a session to all others, on a machine that is not ours alone. Needs root."""
    Path(f"/proc/{session}/autogroup").write_text("-15")


def main_thread_cpu_s(pid: int) -> float:
    """CPU seconds of a process's first thread so far."""
    row = Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in row[_UTIME : _UTIME + 2]) * TICK_S


def resident_mb(sessions: Collection[int]) -> float:
    """Resident size of all processes of these sessions; pages that they share count for each."""
    return sum(int(row[_RSS]) for row in _stats(sessions)) * PAGE / 2**20


def forget_peaks(sessions: Collection[int]) -> None:
    """``peak_mb`` is of what comes after."""
    for pid in _pids(sessions):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_mb(sessions: Collection[int]) -> float:
    """Largest resident sizes so far of all processes of these sessions."""
    status = "".join(Path(f"/proc/{pid}/status").read_text() for pid in _pids(sessions))
    return sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def machine_cpu_s() -> float:
    """CPU seconds of everything on this machine so far."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq = map(int, fields[:7])
    return (user + nice + system + irq + softirq) * TICK_S
