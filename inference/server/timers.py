"""Calls in the future, by the reactor that runs now.

``channels.testing.ChannelsLiveServerTestCase`` puts another one in place after this package has been imported.
"""

from typing import Any


def call_later(delay_s: float, function: Any, *args: Any) -> Any:
    """Returns what ``cancel`` is called on."""
    from twisted.internet import reactor  # noqa: PLC0415

    return reactor.callLater(delay_s, function, *args)
