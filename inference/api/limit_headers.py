"""What is left of the limits of the key that asked, in headers of every answer to it.

Names as in https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-06; for OpenAI's clients, also
those of its API.
"""

from collections.abc import Iterable

from inference.access.limits import REQUESTS, LimitState
from inference.api.dialects.base import Headers


def limit_headers(states: Iterable[LimitState], *, openai: bool = False) -> Headers:
    """None where there is no limit. The first three are of the limit of which the smallest part is left."""
    known = list(states)
    if not known:
        return []
    nearest = min(known, key=lambda state: state.left / max(1, state.limit))
    policy = ", ".join(f'{state.limit};w={state.window_s};comment="{state.name}"' for state in known)
    headers = [
        (b"ratelimit-limit", b"%d" % nearest.limit),
        (b"ratelimit-remaining", b"%d" % nearest.left),
        (b"ratelimit-reset", b"%d" % nearest.seconds),
        (b"ratelimit-policy", policy.encode()),
    ]
    for state in known if openai else ():
        kind = b"requests" if state.name == REQUESTS else b"tokens"
        headers += [
            (b"x-ratelimit-limit-" + kind, b"%d" % state.limit),
            (b"x-ratelimit-remaining-" + kind, b"%d" % state.left),
            (b"x-ratelimit-reset-" + kind, b"%ds" % state.seconds),
        ]
    return headers
