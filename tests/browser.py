"""Chromium, which runs a page that reports to its own server. Hosts below ``.example`` are this machine."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.processes import Process, wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"),
    *("--no-first-run", "--no-proxy-server", "--host-resolver-rules=MAP *.example 127.0.0.1"),
)


class Pages:
    """A server that has one page at every path of every host, and takes what the page posts."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.page = ""
        self.reported: dict[str, Any] = {}
        """By host, what its page has posted."""

    def origin(self, host: str) -> str:
        return f"http://{host}:{self.port}"

    def run(self, page: str, hosts: list[str], folder: Path) -> dict[str, Any]:
        """What the page, on each of these hosts, has posted as JSON."""
        self.page = page
        for host in hosts:
            options = [*OPTIONS, f"--user-data-dir={folder / host}"]
            browser = Process("chromium", [CHROMIUM, *options, self.origin(host)], _environment(folder))
            browser.start()
            try:
                wait_until(lambda host=host: host in self.reported, f"the page of {host} reports: {browser.log()}")  # type: ignore[misc]
            finally:
                browser.kill()
        return self.reported


def _environment(folder: Path) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "HOME": str(folder)}


@contextmanager
def pages(port: int) -> Iterator[Pages]:
    served = Pages(port)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(served.page.encode())

        def do_POST(self) -> None:
            host, _, _ = self.headers["host"].partition(":")
            served.reported[host] = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self._answer(b"")

        def log_message(self, *_: Any) -> None:
            pass

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
