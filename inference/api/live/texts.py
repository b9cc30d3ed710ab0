"""Figures as people read them: short, with a unit."""

from datetime import UTC, datetime

from django.conf import settings
from django.utils import timezone

NONE = "–"


def duration(seconds: float) -> str:
    """``3.1 ms``, ``1.24 s``; a dash for nothing."""
    if seconds <= 0:
        return NONE
    return f"{seconds * 1000:.1f} ms" if seconds < 0.99995 else f"{seconds:.2f} s"


def rate(per_s: float) -> str:
    return "0" if per_s == 0 else f"{per_s:.1f}" if per_s < 100 else f"{per_s:,.0f}"


def memory(mb: float) -> str:
    return NONE if mb <= 0 else f"{mb:,.0f} MB" if mb < 10_000 else f"{mb / 1024:,.1f} GB"


def size(length: int) -> str:
    return (
        number(length, "byte")
        if length < 1000
        else f"{length / 1e3:,.1f} KB"
        if length < 1e6
        else f"{length / 1e6:,.1f} MB"
    )


def clock(at: float) -> str:
    """Of a moment in seconds since the epoch, in the time zone of the project."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{timezone.localtime(moment) if settings.USE_TZ else moment.astimezone():%H:%M:%S}"


def number(value: float, noun: str) -> str:
    """``1 worker``, ``2 workers``."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"
