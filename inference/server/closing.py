"""Ends Daphne's connections when the process stops, without a reset while a request waits for its answer."""

import asyncio
import ctypes
import select
import socket
import struct
from contextlib import suppress
from typing import Any

from twisted.internet import tcp

from inference.server.http_connection import Connection

LINGER_S = 0.2
"""For consumers to send the last answers, for clients to read them and ask again; then for bytes to leave."""
ARRIVING_S = 1.0
"""For requests on connections that were made before the port was closed."""
LAST_ANSWERS_S = 1.0
"""How much longer a request that has arrived may take."""
POLL_S = 0.01
MOST_ACCEPTED = 65_536
"""Connections in the listening queue; no system keeps more."""
HANDSHAKE_S = 0.005
"""For TCP handshakes that have begun."""
NO_SYN = struct.pack("HBBI" * 4, 0x30, 0, 0, 13, 0x45, 0, 1, 2, 0x06, 0, 0, 0, 0x06, 0, 0, 0xFFFFFFFF)
"""A socket filter (BPF): load the flags of the TCP header; drop the packet if SYN is set, otherwise keep it."""
SO_ATTACH_FILTER = 26


def leave_inherited(reactor: Any) -> None:
    """Accept no more connections from sockets that a supervisor opened, such as systemd's for ``daphne --fd 3``.

    It keeps them open: clients wait there for the next process, or for another one that accepts from them as well. What
    is done to the process's own sockets below would outlast the process there, and leave all later clients unanswered.
    """
    for port in _open(reactor, tcp.Port):
        if not port._shouldShutdown:
            port.stopListening()


async def close_connections(reactor: Any) -> None:
    """Accept no more connections, refuse what arrives on those that are open, and end them."""
    await _close_ports(_open(reactor, tcp.Port))
    await asyncio.sleep(LINGER_S)
    for _ in range(round(LAST_ANSWERS_S / POLL_S)):
        if not _busy(_open(reactor, tcp.Server)):
            break
        await asyncio.sleep(POLL_S)
    for connection in _open(reactor, tcp.Server):
        connection.loseConnection()
    await asyncio.sleep(LINGER_S)


async def stop_listening(reactor: Any) -> None:
    """Accept no more connections, and what is asked on those that are made."""
    await _close_ports(_open(reactor, tcp.Port))
    await asyncio.sleep(ARRIVING_S)


def _open(reactor: Any, kind: type) -> list[Any]:
    return [opened for opened in {*reactor.getReaders(), *reactor.getWriters()} if isinstance(opened, kind)]


async def _close_ports(ports: list[Any]) -> None:
    """Stop new handshakes, accept the connections in the queue, then close the ports, which would reset those.

    Where the system has no such filter, a connection that is made at that moment is reset.
    """
    instructions = ctypes.create_string_buffer(NO_SYN)
    program = struct.pack("HP", 4, ctypes.addressof(instructions))
    for port in ports:
        with suppress(OSError):
            port.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    await asyncio.sleep(HANDSHAKE_S)
    for port in ports:
        port.numberAccepts = MOST_ACCEPTED
        port.doRead()
        port.stopListening()


def _busy(connections: list[Any]) -> bool:
    """Whether bytes have arrived that are not read yet, or a request is being answered."""
    arrived = select.poll()
    for connection in connections:
        arrived.register(connection, select.POLLIN)
    return bool(arrived.poll(0)) or any(map(_answering, connections))


def _answering(transport: Any) -> bool:
    """Whether a request is being answered on this TCP connection, which may carry TLS, HTTP/2 or a WebSocket."""
    protocol = transport.protocol
    while protocol is not None and not isinstance(protocol, Connection):
        protocol = getattr(protocol, "wrappedProtocol", None) or getattr(protocol, "_channel", None)
    return protocol is not None and protocol.answering
