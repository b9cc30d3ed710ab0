"""What misbehaving clients cost a web process, in memory: python -m tests.soak.memory [words of a scene]

Each line: the web process before, its highest while they misbehave, and what is left when they are gone.
"""

import itertools
import json
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import httpx

from tests import processes
from tests.processes import Web

MOST_GROWTH_MB = 50.0
HANDSHAKE = (
    b"GET /ws/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)
LONG_ANSWERS = {"inputs": [f"number {n} is [MASK]" for n in range(16)], "parameters": {"top_k": 1000}}
"""An answer of about 1.6 MB."""
SHORT_ANSWERS = {"inputs": "test [MASK]", "parameters": {"top_k": 20}}


def highest_mb(server: Web) -> float:
    status = Path(f"/proc/{server.pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def forget_highest(server: Web) -> None:
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")


@contextmanager
def connections(server: Web, number: int, *, first: bytes = b"") -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        opened = []
        for _ in range(number):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
            connection.settimeout(30)
            connection.connect(("127.0.0.1", server.port))
            if first:
                connection.sendall(first)
                connection.recv(4096)
            opened.append(stack.enter_context(closing(connection)))
        yield opened


def frame(number: int, request: Mapping[str, object]) -> bytes:
    payload = json.dumps({"type": "infer", "id": str(number), "timeout_s": 120, **request}).encode()
    return b"\x81\xfe" + len(payload).to_bytes(2, "big") + b"\0\0\0\0" + payload


def uploads(server: Web, *, chunked: bool) -> None:
    """Four clients that send 200 MB each and listen to nothing."""
    piece = b"x" * 2**20
    how = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (200 * 2**20)
    body = b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece

    def upload() -> None:
        with connections(server, 1) as [connection], suppress(OSError):
            connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\n" + how + b"\r\n\r\n")
            for _ in range(200):
                connection.sendall(body)

    threads = [threading.Thread(target=upload) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def idle_sockets(server: Web) -> None:
    with connections(server, 1000, first=HANDSHAKE):
        time.sleep(5)


def sockets(server: Web, request: Mapping[str, object], pause_s: float, *, deaf: bool = True) -> None:
    """A hundred sockets that go on asking for 40 s; the deaf ones do not read."""
    with connections(server, 100, first=HANDSHAKE) as opened:
        if not deaf:
            threading.Thread(target=read_all, args=(opened,), daemon=True).start()
        end = time.monotonic() + 40
        for number in itertools.count():
            for connection in opened:
                if time.monotonic() > end:
                    return
                with suppress(OSError):
                    connection.sendall(frame(number, request))
                time.sleep(pause_s)


def read_all(opened: list[socket.socket]) -> None:
    """Until they are closed."""
    with selectors.DefaultSelector() as selector, suppress(OSError, ValueError):
        for connection in opened:
            selector.register(connection, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select(1):
                opened[[each.fileno() for each in opened].index(key.fd)].recv(2**20)


def deaf_requests(server: Web) -> None:
    """A hundred HTTP requests whose answers are not read."""
    body = json.dumps(LONG_ANSWERS).encode()
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nx-request-timeout-seconds: 120\r\nContent-Length: %d\r\n\r\n"
    with connections(server, 100) as deaf:
        for connection in deaf:
            connection.sendall(head % len(body) + body)
            time.sleep(0.4)


TO_COMPARE = "100 sockets that read, answers of 1.6 MB"
"""What such answers cost while they are made and sent, whoever reads them."""
SCENES: dict[str, Callable[[Web], None]] = {
    "4 uploads of 200 MB": lambda server: uploads(server, chunked=False),
    "4 uploads of 200 MB in chunks": lambda server: uploads(server, chunked=True),
    "1,000 idle sockets": idle_sockets,
    TO_COMPARE: lambda server: sockets(server, LONG_ANSWERS, 0.1, deaf=False),
    "100 deaf sockets, short answers": lambda server: sockets(server, SHORT_ANSWERS, 0.003),
    "100 deaf sockets, answers of 1.6 MB": lambda server: sockets(server, LONG_ANSWERS, 0.1),
    "100 deaf HTTP clients, answers of 1.6 MB": deaf_requests,
}


def main() -> int:
    wanted = sys.argv[1:] or [""]
    broken = False
    with (
        processes.redis_server() as redis,
        processes.worker(redis, {"INFERENCE_THREADS": "1"}),
        processes.web(redis) as server,
    ):
        httpx.post(server.url, content="test [MASK]", trust_env=False, timeout=60)
        for name, run in SCENES.items():
            if not any(word in name for word in wanted):
                continue
            time.sleep(2)
            before = server.resident_mb()
            forget_highest(server)
            run(server)
            highest = highest_mb(server)
            time.sleep(3)
            served = httpx.post(server.url, content="test [MASK]", trust_env=False, timeout=60).is_success
            growth = highest - before
            broken = broken or (growth > MOST_GROWTH_MB and name != TO_COMPARE) or not served
            after = server.resident_mb()
            print(f"{name}: {before:.0f} MB, highest {highest:.0f} (+{growth:.1f}), left {after:.0f}", flush=True)
        metrics = httpx.get(f"{server.url}/metrics", trust_env=False, timeout=60).text.splitlines()
        print(
            *(
                line
                for line in metrics
                if line.startswith(("inference_slow_reader_disconnects_total", "inference_pending"))
            )
        )
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
