"""Clients that ask all the time, and what each was told."""

import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

CLIENTS = 8
CLIENT_S = 60.0


class Ledger:
    """What the client of each request was told."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.told: dict[str, str] = {}
        """Status and code by request id; empty where the connection broke."""

    def ask(self, client: httpx.Client) -> None:
        request_id = secrets.token_hex(16)
        self.told[request_id] = ""
        try:
            headers = {"x-request-id": request_id}
            reply = client.post(self._url, content=f"the {request_id[:6]} is [MASK].", headers=headers)
        except httpx.TransportError:
            return
        code = "" if reply.status_code == 200 else f" {_code(reply)}"
        self.told[request_id] = f"{reply.status_code}{code}"

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
        return Counter(status or "connection lost" for status in self.told.values())

    def answered(self) -> set[str]:
        return {request_id for request_id, status in self.told.items() if status == "200"}


def _code(reply: httpx.Response) -> str:
    """``error_type``; of the proxy's own pages, its name."""
    if reply.headers.get("content-type") != "application/json":
        return "proxy"
    code: str = reply.json()["error_type"]
    return code
