"""HTTP/1.1 on plain sockets: a listener with a thread per connection, and the parsing both servers share.

Nothing here is lenient by accident: a server that wants to break the protocol writes its own bytes with
`Connection.send`, and a test that wants the network to fail uses the listener's switches.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from typing import Callable, NamedTuple
from urllib.parse import unquote

HEAD_LIMIT = 65536  # bytes of request head; what the usual servers refuse beyond
_GONE = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR

REASONS = {
    100: "Continue", 103: "Early Hints", 200: "OK", 204: "No Content", 206: "Partial Content",
    301: "Moved Permanently", 302: "Found", 304: "Not Modified", 307: "Temporary Redirect",
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    409: "Conflict", 410: "Gone", 411: "Length Required", 412: "Precondition Failed",
    416: "Requested Range Not Satisfiable", 429: "Too Many Requests",
    451: "Unavailable For Legal Reasons", 500: "Internal Server Error", 501: "Not Implemented",
    502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
}  # fmt: skip


class BadRequestError(Exception):
    """The peer's bytes are no HTTP/1.1 request, or it went away in the middle of one."""


class Request(NamedTuple):
    """One request head, as it was on the wire."""

    method: str
    target: str  # path and query, not decoded
    version: str  # "HTTP/1.1"
    headers: dict[str, str]  # lower-case names; the values of a repeated name are joined with ","
    names: tuple[str, ...]  # header names in the order and case of the wire

    @property
    def path(self) -> str:
        """The target without its query, not decoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> list[tuple[str, str]]:
        """The query's pairs, decoded, in the order of the wire; "+" is a plus: no form encoding."""
        text = self.target.partition("?")[2]
        pairs = (part.partition("=") for part in text.split("&") if part)
        return [(unquote(name), unquote(value)) for name, _, value in pairs]

    @property
    def keeps_alive(self) -> bool:
        """Whether the client expects to use the connection again."""
        return self.version == "HTTP/1.1" and "close" not in self.headers.get("connection", "").lower()


class Connection:
    """One accepted connection. Used by its own thread only; `shut` may be called from any thread."""

    def __init__(self, listener: Listener, sock: socket.socket, number: int) -> None:
        self.number = number  # counts from 1 over the listener's life
        self.served = 0  # requests read on this connection so far
        self._listener = listener
        self._sock = sock
        self._reader = sock.makefile("rb", 65536)

    def read_request(self) -> Request | None:
        """Read one head. None when the peer closed between requests. Raises BadRequestError."""
        line = self._reader.readline(HEAD_LIMIT)
        if line in (b"\r\n", b"\n"):
            line = self._reader.readline(HEAD_LIMIT)
        if not line:
            return None
        self._listener.pass_gate()
        parts = line.decode("latin-1").split()
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
            raise BadRequestError(f"request line {line[:80]!r}")
        names, headers = self._read_headers()
        self.served += 1
        return Request(parts[0], parts[1], parts[2], headers, names)

    def _read_headers(self) -> tuple[tuple[str, ...], dict[str, str]]:
        names: list[str] = []
        headers: dict[str, str] = {}
        room = HEAD_LIMIT
        while True:
            line = self._reader.readline(HEAD_LIMIT)
            room -= len(line)
            if line in (b"\r\n", b"\n"):
                return tuple(names), headers
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or not line.endswith(b"\n") or room < 0 or name != name.strip():
                raise BadRequestError(f"header line {line[:80]!r}")
            names.append(name)
            low, value = name.lower(), value.strip()
            headers[low] = f"{headers[low]},{value}" if low in headers else value

    def read(self, size: int) -> bytes:
        """Read exactly `size` bytes of a request body. Raises BadRequestError when the peer stops short."""
        data: bytes = self._reader.read(size)
        if len(data) != size:
            raise BadRequestError(f"body ended after {len(data)} of {size} bytes")
        return data

    def read_some(self) -> bytes:
        """Read what has come, at least a byte; b"" at the end."""
        return self._reader.read1(65536)

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def has_pending(self) -> bool:
        """Whether bytes have come that the socket no longer shows: decrypted, or read ahead."""
        return isinstance(self._sock, ssl.SSLSocket) and bool(self._sock.pending())

    def read_chunked(self) -> bytes:
        """Read a body in chunked transfer encoding, trailers dropped. Raises BadRequestError."""
        blocks = []
        while True:
            line = self._reader.readline(1024)
            try:
                size = int(line.split(b";")[0], 16)
            except ValueError as exc:
                raise BadRequestError(f"chunk size {line[:40]!r}") from exc
            if size == 0:
                break
            blocks.append(self.read(size))
            if self._reader.readline(3) != b"\r\n":
                raise BadRequestError("chunk without its line end")
        while self._reader.readline(HEAD_LIMIT) not in (b"\r\n", b"\n", b""):
            pass
        return b"".join(blocks)

    def send(self, *parts: bytes) -> None:
        """Write bytes as they are. Raises OSError when the peer is gone."""
        self._listener.pass_gate()
        self._sock.sendall(parts[0] if len(parts) == 1 else b"".join(parts))

    def drip(self, data: bytes, pause: float, step: int = 1) -> bool:
        """Write `step` bytes every `pause` seconds. False when the peer left before the end."""
        for start in range(0, len(data), step):
            self.send(data[start : start + step])
            if self.stall(pause):
                return False
        return True

    def stall(self, seconds: float) -> bool:
        """Say nothing for `seconds`. True when the peer left, or this server stopped, before that."""
        poll = select.poll()
        poll.register(self._sock, _GONE)
        return bool(poll.poll(max(0, int(seconds * 1000))))

    def reset(self) -> None:
        """Close at once with a TCP reset instead of an orderly end."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._release()

    def shut(self) -> None:
        """End both directions, from any thread; whoever reads or stalls on the connection wakes up."""
        with contextlib.suppress(OSError):
            # Not SSLSocket.shutdown: that one would also pull the TLS object away under the reading thread.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close in order: TLS close_notify where there is TLS, then the end of the stream."""
        with contextlib.suppress(OSError, ValueError):
            if isinstance(self._sock, ssl.SSLSocket):
                self._sock.settimeout(0)  # sends our close_notify and does not wait for the peer's
                self._sock.unwrap()
        self.shut()
        self._release()

    def _release(self) -> None:
        self._reader.close()
        self._sock.close()


class Listener:
    """A listening socket on 127.0.0.1 whose port stays ours while it is refused; one thread per connection.

    `serve(connection)` runs in the connection's thread until it returns; OSError and BadRequestError from it
    mean that the peer went away, everything else is a bug and is raised again by `stop`.
    """

    def __init__(
        self, serve: Callable[[Connection], None], tls: ssl.SSLContext | None = None, port: int = 0
    ) -> None:
        """Listen at port, 0 for any free one."""
        self.connections = 0  # accepted so far
        self._serve = serve
        self._tls = tls
        self._lock = threading.Lock()
        self._live: dict[threading.Thread, Connection] = {}
        self._bugs: list[BaseException] = []
        self._stopping = False
        self._gate = threading.Event()
        self._gate.set()
        self._mute_every = 0  # every n-th handshake is stalled; 0 = none
        self._timers: list[threading.Timer] = []
        # A bound socket that never listens keeps the port, so that heal() can listen again after refuse().
        self._holder = _bound_socket(port)
        self.port: int = self._holder.getsockname()[1]
        self._socket: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self._accept()

    # -- switches of the network ---------------------------------------------------------------------------

    def refuse(self, seconds: float | None = None) -> None:
        """Refuse new connections and end the live ones, until `heal` or for `seconds`."""
        with self._lock:
            sock, self._socket = self._socket, None
            accepting, self._accepting = self._accepting, None
        if sock is not None and accepting is not None:
            sock.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept()
            accepting.join()
            sock.close()
        self.drop_connections()
        self._undo_after(seconds, self._accept)

    def drop_connections(self) -> None:
        """End all live connections."""
        with self._lock:
            live = list(self._live.values())
        for connection in live:
            connection.shut()

    def black_hole(self, seconds: float | None = None) -> None:
        """Accept but neither read nor answer, new and live connections alike, as a network losing packets."""
        self._gate.clear()
        self._undo_after(seconds, self._gate.set)

    def mute_handshakes(self, seconds: float | None = None, every: int = 1) -> None:
        """Accept and never speak TLS on every n-th new connection; those past their handshake go on."""
        self._mute_every = every
        self._undo_after(seconds, self._unmute)

    def heal(self) -> None:
        """Take back refuse, black_hole and mute_handshakes; what waited in the black hole is answered."""
        self._unmute()
        self._gate.set()
        self._accept()

    def _unmute(self) -> None:
        self._mute_every = 0

    def _undo_after(self, seconds: float | None, undo: Callable[[], None]) -> None:
        if seconds is None or self._stopping:
            return
        timer = threading.Timer(seconds, undo)
        self._timers.append(timer)
        timer.start()

    def pass_gate(self) -> None:
        """Wait while the black hole is on. Raises ConnectionError when the listener stops meanwhile."""
        self._gate.wait()
        if self._stopping:
            raise ConnectionError("server stopped")

    # -- life ----------------------------------------------------------------------------------------------

    def stop(self, patience: float = 5.0) -> None:
        """Close everything and wait for the threads. Raises the first bug met in a connection's thread."""
        self._stopping = True
        for timer in self._timers:
            timer.cancel()
            timer.join()
        self._gate.set()
        self.refuse()
        deadline = time.monotonic() + patience
        for thread in self._threads():
            thread.join(max(0.0, deadline - time.monotonic()))
        self._holder.close()
        left = self._threads()
        if left:
            raise RuntimeError(f"{len(left)} connection threads still run after {patience} s")
        if self._bugs:
            raise self._bugs[0]

    def settle(self, patience: float = 5.0) -> None:
        """End all live connections, and wait until what they asked for is done; raises RuntimeError if it is not."""
        self.drop_connections()
        deadline = time.monotonic() + patience
        for thread in self._threads():
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._threads():
            raise RuntimeError(f"{len(self._threads())} connection threads still run after {patience} s")

    def _accept(self) -> None:
        with self._lock:
            if self._socket is not None or self._stopping:
                return
            self._socket = _bound_socket(self.port)
            self._socket.listen(1024)
            self._accepting = threading.Thread(target=self._accept_loop, args=(self._socket,), daemon=True)
            self._accepting.start()

    def _threads(self) -> list[threading.Thread]:
        with self._lock:
            return list(self._live)

    def _accept_loop(self, sock: socket.socket) -> None:
        while True:
            try:
                peer, _ = sock.accept()
            except OSError as exc:
                if self._socket is sock:  # neither refused nor stopped: out of files, say
                    self._bugs.append(exc)
                return
            self._begin(peer)

    def _begin(self, peer: socket.socket) -> None:
        with self._lock:
            self.connections += 1
            number = self.connections
        try:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                # The handshake happens in the connection's thread: a silent client must not hold up others.
                peer = self._tls.wrap_socket(peer, server_side=True, do_handshake_on_connect=False)
        except OSError:  # the peer has gone already
            peer.close()
            return
        connection = Connection(self, peer, number)
        thread = threading.Thread(target=self._run, args=(connection, peer), daemon=True)
        with self._lock:
            self._live[thread] = connection
        thread.start()

    def _run(self, connection: Connection, peer: socket.socket) -> None:
        with self._finally_forget(), contextlib.suppress(OSError, BadRequestError):
            try:
                if isinstance(peer, ssl.SSLSocket):
                    self._handshake(connection, peer)
                self._serve(connection)
            finally:
                connection.close()

    def _handshake(self, connection: Connection, peer: ssl.SSLSocket) -> None:
        while self._mute_every and connection.number % self._mute_every == 0:
            if connection.stall(0.25):
                raise ConnectionError("the client gave up a handshake that was stalled on purpose")
        self.pass_gate()
        peer.do_handshake()

    @contextlib.contextmanager
    def _finally_forget(self) -> Iterator[None]:
        try:
            yield
        except Exception as exc:  # a bug in a handler: shown by stop(), where a test sees it
            self._bugs.append(exc)
        finally:
            with self._lock:
                del self._live[threading.current_thread()]


def _bound_socket(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock


def response(status: int, headers: list[tuple[str, str]], body: bytes = b"") -> bytes:
    """Build a whole answer; Content-Length is added unless the headers already frame the body."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in headers]
    framed = any(name.lower() in ("content-length", "transfer-encoding") for name, _ in headers)
    if not framed and status not in (204, 304) and status >= 200:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body
