"""What a request is called in every log, from the edge to the worker: its id, and its place in its caller's trace.

The trace is that of https://www.w3.org/TR/trace-context/: a client that takes part in one sends ``traceparent``; the
request becomes a span of its own in it, which travels with its jobs.
"""

import random
import re

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
)


def new_request_id() -> str:
    return f"{random.getrandbits(128):032x}"


def take_request_id(given: str) -> str:
    """The client's own id, if it is one that can stand in a log; otherwise a new one."""
    return given if REQUEST_ID.fullmatch(given) else new_request_id()


def child(traceparent: object) -> str:
    """A new span in the trace that a ``traceparent`` names; empty if it names none. Later versions only add fields."""
    if not isinstance(traceparent, str):
        return ""
    found = _TRACEPARENT.match(traceparent)
    if found is None or found["version"] == "ff" or not (int(found["trace"], 16) and int(found["span"], 16)):
        return ""
    rest = traceparent[found.end() :]
    if rest and (found["version"] == "00" or not rest.startswith("-")):
        return ""
    return f"00-{found['trace']}-{random.getrandbits(64) or 1:016x}-{found['flags']}"


def fields(request_id: str, traceparent: str) -> dict[str, str]:
    """For ``extra`` of a log record."""
    if not traceparent:
        return {"request_id": request_id}
    _, trace_id, span_id, _ = traceparent.split("-")
    return {"request_id": request_id, "trace_id": trace_id, "span_id": span_id}
