"""How Daphne's connections end when the process stops: none is reset while a request on it waits for its answer."""

import asyncio
import ctypes
import select
import socket
import struct
from contextlib import suppress
from typing import Any

from twisted.internet import tcp

from inference.server.http import answering

LINGER_S = 0.2
"""For consumers to say the last of the last answers, for clients to read them and ask again; and then for bytes to
leave."""
LAST_ANSWERS_S = 1.0
"""How long beyond that a request that has arrived may still take."""
POLL_S = 0.01
MOST_WAITING = 65_536
"""Connections that the kernel has made and that are not taken yet; no system keeps more."""
HANDSHAKE_S = 0.005
"""For connections that are half made."""
NO_SYN = struct.pack("HBBI" * 4, 0x30, 0, 0, 13, 0x45, 0, 1, 2, 0x06, 0, 0, 0, 0x06, 0, 0, 0xFFFFFFFF)
"""A socket filter (BPF): load the flags of the TCP header; is SYN among them? then keep nothing; else keep all."""
SO_ATTACH_FILTER = 26


async def close_connections(reactor: Any) -> None:
    """Take no more connections, refuse what still comes on those that are open, and end them."""
    await _take_no_more(_open(reactor, tcp.Port))
    await asyncio.sleep(LINGER_S)
    for _ in range(round(LAST_ANSWERS_S / POLL_S)):
        if not _busy(_open(reactor, tcp.Server)):
            break
        await asyncio.sleep(POLL_S)
    for connection in _open(reactor, tcp.Server):
        connection.loseConnection()
    await asyncio.sleep(LINGER_S)


def _open(reactor: Any, kind: type) -> list[Any]:
    return [opened for opened in {*reactor.getReaders(), *reactor.getWriters()} if isinstance(opened, kind)]


async def _take_no_more(ports: list[Any]) -> None:
    """Closing a port resets the connections that wait at it: so no more are begun, and then all are taken.

    Where there is no such filter, a connection that is made at that moment is reset.
    """
    instructions = ctypes.create_string_buffer(NO_SYN)
    program = struct.pack("HP", 4, ctypes.addressof(instructions))
    for port in ports:
        with suppress(OSError):
            port.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    await asyncio.sleep(HANDSHAKE_S)
    for port in ports:
        port.numberAccepts = MOST_WAITING
        port.doRead()
        port.stopListening()


def _busy(connections: list[Any]) -> bool:
    """Something has arrived that is not read, or is being answered."""
    arrived = select.poll()
    for connection in connections:
        arrived.register(connection, select.POLLIN)
    return bool(arrived.poll(0)) or any(map(answering, connections))
