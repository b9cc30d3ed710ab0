"""The client: one thread, raw sockets, keep-alive. About 30 microseconds of CPU per request.

Run as a process of its own: a ``Spec`` as JSON comes in on stdin, the measured windows go out as JSON on stdout.
Only the standard library is imported. A closed loop sends the next text as soon as an answer is there; an open loop
sends at random moments, whatever the server does.

A window begins and ends with an answer and has at least two answers for each client, so that a server that answers in
bursts is neither favoured nor wronged.
"""

import json
import random
import select
import socket
import sys
import time
from dataclasses import asdict

from tests.benchmarks import proc
from tests.benchmarks.window import Spec, Window, number

MAX_CONNECTIONS = 1000
MAX_REFUSED = 2_000
ROUNDS_OF_ANSWERS = 2
OK = b"http/1.1 200"
BUFFER = 1 << 18


class Connection:
    __slots__ = ("received", "sent_at", "socket", "text", "wanted")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(20)
        self.received = b""
        self.wanted = 0
        self.sent_at = 0.0
        self.text = 0


class Load:
    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._requests = [_request(spec, text) for text in spec.texts]
        self._next = spec.first_text
        self._poll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._free: list[Connection] = []
        self.answers = 0
        self.tokens = 0
        self._refused = 0
        self._unsent = 0
        self._random = random.Random(7)
        self.windows: list[Window] = []
        self._window = Window(0.0)
        self._costs: list[float] = []
        self._own_s = 0.0
        self._draining = False

    def run(self) -> list[Window]:
        """The complete windows; the incomplete one if the cap came before the first was over."""
        spec = self._spec
        self._start()
        now = time.perf_counter()
        end = now + spec.cap_s
        arrival = now if spec.arrivals_per_s else end
        while not self._finished() and (now := time.perf_counter()) < end:
            while arrival <= now:
                self._arrive()
                arrival += self._random.expovariate(spec.arrivals_per_s)
            for fd, _ in self._poll.poll(max(0.0, min(arrival, end) - time.perf_counter())):
                self._read(self._connections[fd])
        if len(self.windows) <= 1:
            self._window.complete = False
            self._close(time.perf_counter())
        self._drain(time.perf_counter() + spec.drain_s)
        for connection in self._connections.values():
            connection.socket.close()
        return self.windows[1:] or self.windows

    def _drain(self, end: float) -> None:
        self._draining = True
        while len(self._free) < len(self._connections) and (now := time.perf_counter()) < end:
            for fd, _ in self._poll.poll(end - now):
                self._read(self._connections[fd])

    def _start(self) -> None:
        self._free = [self._connect() for _ in range(self._spec.clients)]
        self._open(time.perf_counter())
        if not self._spec.arrivals_per_s:
            while self._free:
                self._send(self._free.pop())

    def _finished(self) -> bool:
        enough = len(self.windows) > self._spec.windows or self.answers >= self._spec.answers
        if self._refused > MAX_REFUSED:
            raise SystemExit(f"{self._refused} answers were no 200: {self._window.statuses}")
        return enough

    def _connect(self) -> Connection:
        connection = Connection(self._spec.port)
        self._connections[connection.socket.fileno()] = connection
        self._poll.register(connection.socket.fileno(), select.EPOLLIN)
        return connection

    def _arrive(self) -> None:
        if self._free:
            self._send(self._free.pop())
        elif len(self._connections) < MAX_CONNECTIONS:
            self._send(self._connect())
        else:
            self._unsent += 1
            self._window.note("not sent")

    def _send(self, connection: Connection) -> None:
        connection.text = self._next
        self._next = (self._next + 1) % len(self._requests)
        connection.sent_at = time.perf_counter()
        connection.socket.sendall(self._requests[connection.text])

    def _read(self, connection: Connection) -> None:
        chunk = connection.socket.recv(BUFFER)
        if not chunk:
            self._replace(connection)
            return
        received = connection.received = connection.received + chunk if connection.received else chunk
        if not connection.wanted:
            connection.wanted = _wanted(received)
        if not connection.wanted or len(received) < connection.wanted:
            return
        now = time.perf_counter()
        head = received[: received.find(b"\r\n\r\n") + 2].lower()
        connection.received, connection.wanted = b"", 0
        self._count(head, now, connection)
        self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        if self._spec.arrivals_per_s or self._draining:
            self._free.append(connection)
        else:
            self._send(connection)

    def _count(self, head: bytes, now: float, connection: Connection) -> None:
        spec, window = self._spec, self._window
        window.add(head, now - connection.sent_at, spec.tokens[connection.text])
        window.answers += 1
        self.tokens += spec.tokens[connection.text] if head.startswith(OK) else 0
        self.answers += 1
        if not head.startswith(OK):
            self._refused += 1
        due_s, due = (
            (spec.window_s, ROUNDS_OF_ANSWERS * spec.clients) if self.windows else (spec.warmup_s, spec.clients)
        )
        if now - window.started_at >= due_s and window.answers >= due and not self._draining:
            self._close(now)
            self._open(now)

    def _replace(self, connection: Connection) -> None:
        """The server hung up; the text that was under way is counted as lost and the next one is sent."""
        del self._connections[connection.socket.fileno()]
        self._poll.unregister(connection.socket.fileno())
        connection.socket.close()
        self._window.note("closed")
        self._refused += 1
        self._go_on(self._connect())

    def _open(self, now: float) -> None:
        self._window = Window(now)
        self._costs = self._cost()
        self._own_s = time.process_time()  # last here and first there: looking at costs is not the client's cost

    def _close(self, now: float) -> None:
        window = self._window
        window.client_cpu_s = time.process_time() - self._own_s
        window.seconds = now - window.started_at
        spent = [after - before for after, before in zip(self._cost(), self._costs, strict=True)]
        everything, window.main_thread_cpu_s, *window.cpu_by_session_s = spent
        window.server_cpu_s = sum(window.cpu_by_session_s)
        others = everything - window.server_cpu_s - window.client_cpu_s
        window.other_cores = max(0.0, others / window.seconds)
        self.windows.append(window)

    def _cost(self) -> list[float]:
        sessions = self._spec.sessions
        main = proc.main_thread_cpu_s(sessions[0]) if sessions else 0.0
        return [proc.machine_cpu_s(), main, *proc.cpu_s(sessions)]


def _request(spec: Spec, text: str) -> bytes:
    body = json.dumps({"inputs": text}).encode() if spec.as_json else text.encode()
    kind = "application/json" if spec.as_json else "text/plain"
    head = (
        f"POST {spec.path} HTTP/1.1\r\nHost: 127.0.0.1:{spec.port}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _wanted(received: bytes) -> int:
    """How many bytes the whole answer has; 0 while its head is not complete."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return 0
    length = number(received[: end + 2].lower(), b"\r\ncontent-length:")
    if length is None:
        raise SystemExit(f"An answer without Content-Length: {received[:200]!r}")
    return end + 4 + int(length)


def main() -> None:
    spec = Spec(**json.load(sys.stdin))
    load = Load(spec)
    windows = [asdict(window) for window in load.run()]
    json.dump({"windows": windows, "answers": load.answers, "tokens": load.tokens}, sys.stdout)


if __name__ == "__main__":
    main()
