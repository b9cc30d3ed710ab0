"""Clients that send bytes of their own and read what they choose."""

import socket
import struct
from typing import Any

from tests.conftest import CLIENT_S, client
from tests.processes import Web

STALL_S = 2.0
"""Of the server ``strict``."""
PAGE = "https://app.example.com"
"""A page's origin that this server allows."""
BIG: dict[str, Any] = {"inputs": [f"number {n} is [MASK]" for n in range(64)], "parameters": {"top_k": 1000}}
"""Its answer has about 5 MB."""
HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
HANDSHAKE = (
    b"GET /ws/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)


def text_frame(text: str) -> bytes:
    """As a client sends it; masked with zeros, which changes nothing."""
    payload = text.encode()
    length = struct.pack("!BH", 254, len(payload)) if len(payload) < 2**16 else struct.pack("!BQ", 255, len(payload))
    return b"\x81" + length + b"\0\0\0\0" + payload


def slow_client(server: Web) -> socket.socket:
    """A connection with a small receive buffer."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
    connection.connect(("127.0.0.1", server.port))
    connection.settimeout(CLIENT_S)
    return connection


def read_to_the_end(connection: socket.socket) -> tuple[bytes, bool]:
    """The last four bytes that arrive, and whether the connection was reset rather than closed."""
    end = b""
    try:
        while chunk := connection.recv(2**20):
            end = (end + chunk)[-4:]
    except ConnectionResetError:
        return end, True
    return end, False


def metric(server: Web, line: str) -> float:
    with client(server) as http:
        lines = dict(row.rsplit(" ", 1) for row in http.get("/metrics").text.splitlines() if not row.startswith("#"))
    return float(lines.get(line, 0))
