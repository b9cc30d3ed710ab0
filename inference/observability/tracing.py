"""Request ids and trace context, which logs of web processes and workers carry.

Traces follow https://www.w3.org/TR/trace-context/: the request of a client that sends ``traceparent`` becomes a span in
that trace, and its jobs carry the span.
"""

import random
import re

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
)


def new_request_id() -> str:
    """A random id of 32 hexadecimal digits."""
    return f"{random.getrandbits(128):032x}"


def take_request_id(given: str) -> str:
    """The client's own id if it has the form of ``REQUEST_ID``, otherwise a new one."""
    return given if REQUEST_ID.fullmatch(given) else new_request_id()


def child(traceparent: object) -> str:
    """The ``traceparent`` of a new span in the client's trace; empty if the given one is invalid.

    Later versions of the format may append fields, which are ignored.
    """
    if not isinstance(traceparent, str):
        return ""
    match = _TRACEPARENT.match(traceparent)
    if match is None or match["version"] == "ff" or not (int(match["trace"], 16) and int(match["span"], 16)):
        return ""
    rest = traceparent[match.end() :]
    if rest and (match["version"] == "00" or not rest.startswith("-")):
        return ""
    return f"00-{match['trace']}-{random.getrandbits(64) or 1:016x}-{match['flags']}"


def trace_id(traceparent: str) -> str | None:
    """``None`` where there is no trace."""
    return traceparent[3:35] or None


def fields(request_id: str, traceparent: str) -> dict[str, str]:
    """The fields of a log record, for its ``extra``."""
    if not traceparent:
        return {"request_id": request_id}
    _, trace_id, span_id, _ = traceparent.split("-")
    return {"request_id": request_id, "trace_id": trace_id, "span_id": span_id}
