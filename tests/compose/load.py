"""Clients that ask all the time, and what each was told."""

import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

CLIENTS = 8
CLIENT_S = 60.0
NO_CONNECTION = "no connection"
CUT = "connection lost"
"""While an answer was awaited; or as the proxy closed an idle connection: then no web server knows of the request."""


class Ledger:
    """What the client of each request was told."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.told: dict[str, str] = {}
        """By request id: the status, and the code of an error."""

    def ask(self, client: httpx.Client) -> str:
        request_id = secrets.token_hex(16)
        self.told[request_id] = self._ask(client, request_id)
        return self.told[request_id]

    def _ask(self, client: httpx.Client, request_id: str) -> str:
        headers = {"x-request-id": request_id}
        try:
            reply = client.post(self._url, content=f"the {request_id[:6]} is [MASK].", headers=headers)
        except httpx.ConnectError:
            return NO_CONNECTION
        except httpx.TransportError:
            return CUT
        return "200" if reply.status_code == 200 else f"{reply.status_code} {_code(reply)}"

    @contextmanager
    def load(self) -> Iterator[None]:
        """Ask during the block, with many clients at once."""
        stopping = threading.Event()

        def ask_again() -> None:
            with httpx.Client(trust_env=False, timeout=CLIENT_S) as client:
                while not stopping.is_set():
                    self.ask(client)
                    stopping.wait(0.05)

        threads = [threading.Thread(target=ask_again) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stopping.set()
            for thread in threads:
                thread.join()

    def summary(self) -> Counter[str]:
        return Counter(self.told.values())

    def disagreements(self, logged: dict[str, str]) -> list[str]:
        """With the request log, which has a code for each request id, empty if it was answered."""
        return [
            f"{request_id}: told {told}, logged as {code!r}"
            for request_id, told in self.told.items()
            if not _agree(told, code := logged.get(request_id))
        ]


def _agree(told: str, code: str | None) -> bool:
    """Refusals may share a row of the log, and need none of their own."""
    if told == "200":
        return code == ""
    return code is None or told.endswith(f" {code}")


def _code(reply: httpx.Response) -> str:
    """``error_type``; of the proxy's own pages, its name."""
    if reply.headers.get("content-type") != "application/json":
        return "proxy"
    code: str = reply.json()["error_type"]
    return code
