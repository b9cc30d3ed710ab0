"""What the clients of the host project see: pages, uploads, sockets, errors, and the background worker."""

import re
import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.conftest import CLIENT_S
from tests.host.site import PAGE, Server
from tests.processes import wait_until

TWO_MB = b"x" * 2_000_000
CHANGING = {"date", "set-cookie"}
"""Headers with another value each time."""


def observe(server: Server, log: Callable[[], str]) -> dict[str, Any]:
    """By a word for each behaviour; equal, if a server behaves equally."""
    with httpx.Client(base_url=server.url, trust_env=False, timeout=CLIENT_S) as http:
        observed = {
            "home page": seen(http.get("/")),
            "head": seen(http.head("/")),
            "no page": seen(http.get("/none")),
            "no page of ours": seen(http.get("/inferences/")),
            "page of another origin": seen(http.get("/", headers={"origin": PAGE})),
            "its preflight": seen(http.options("/", headers={"origin": PAGE, "access-control-request-method": "PUT"})),
            "upload": seen(http.post("/upload/", content=TWO_MB)),
            "upload in chunks": seen(http.post("/upload/", content=iter([TWO_MB[:1_500_000], TWO_MB[1_500_000:]]))),
            "stream": seen(http.get("/ticks/")),
            "bug": seen(http.get("/fail/")),
            "other host": seen(http.get("/", headers={"host": "elsewhere.example"})),
            "admin": admin(http),
            "background worker": background_worker(http),
        }
    wait_until(lambda: "/fail/" in log(), "the last request is logged")
    return observed | {
        "no HTTP": raw(server, b"nonsense\r\n\r\n"),
        "chat": chat(server),
        "no socket": no_socket(server),
        "access log": sorted(re.findall(r'"HEAD /.*', log())),
    }


def seen(reply: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    return reply.status_code, {k: v for k, v in reply.headers.items() if k not in CHANGING}, reply.content


def admin(http: httpx.Client) -> tuple[int, list[str], bool]:
    reply = http.get("/admin/login/")
    return reply.status_code, sorted(reply.headers), "Shop administration" in reply.text


def background_worker(http: httpx.Client) -> list[str]:
    assert http.post("/order/?what=boots").status_code == 202
    wait_until(lambda: http.get("/receipts/").json(), "the receipt is there")
    receipts: list[str] = http.get("/receipts/").json()
    return receipts


def chat(server: Server) -> tuple[int, str, int]:
    """Size of a large message that comes back, what another one hears, and the code of the end."""
    url = f"ws://127.0.0.1:{server.port}/chat/"
    with connect(url, proxy=None, max_size=None) as one, connect(url, proxy=None) as other:
        one.send(TWO_MB)
        echoed = one.recv(CLIENT_S)
        one.send("hello")
        heard = other.recv(CLIENT_S)
        other.send("4001")
        try:
            other.recv(CLIENT_S)
        except ConnectionClosed as end:
            code = end.rcvd.code if end.rcvd else 0
    return len(echoed), str(heard), code


def no_socket(server: Server) -> int:
    try:
        connect(f"ws://127.0.0.1:{server.port}/none/", proxy=None).__enter__()
    except InvalidStatus as refused:
        return refused.response.status_code
    raise AssertionError("it was accepted")


def raw(server: Server, data: bytes) -> bytes:
    """The first line of the answer."""
    with closing(socket.create_connection(("127.0.0.1", server.port))) as connection:
        connection.settimeout(CLIENT_S)
        connection.sendall(data)
        return connection.recv(4096).partition(b"\r\n")[0]
