"""The channel layer where everything runs in one process."""

from typing import Any

CAPACITY = 10_000
"""Messages in one channel. Never reached, because credit bounds the jobs under way."""


def in_memory(expiry_s: int) -> dict[str, Any]:
    return {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": CAPACITY, "expiry": expiry_s}}
