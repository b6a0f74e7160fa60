"""A local HTTP server for the demo and the tests: keep-alive, threads, counters, a clean stop."""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import ssl
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TextIO


class Tls(NamedTuple):
    """The files of a server certificate, both PEM."""

    certificate: Path
    key: Path


class DemoServer(ThreadingHTTPServer):
    """Serve on a port of 127.0.0.1 inside `with`: `.url` is where, `.requests` what has been asked.

    Every attribute may be read from any thread. Leaving the `with` closes all connections, also those in the
    middle of an answer, and returns when the last thread has ended.
    """

    request_queue_size = 512  # a hundred workers may connect in one moment
    daemon_threads = False  # so that server_close() waits for them

    def __init__(
        self,
        handler: type[BaseHTTPRequestHandler],
        port: int = 0,
        tls: Tls | None = None,
        log: Path | None = None,
    ) -> None:
        """Listen on `port`, 0 for any free one, and append a line per request to the file `log`."""
        super().__init__(("127.0.0.1", port), handler)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_address[1]}"
        self.requests: Counter[tuple[str, str]] = Counter()  # by method and percent-decoded path
        self.stopping = threading.Event()  # whoever answers slowly waits on it
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._log: TextIO | None = log.open("a", encoding="utf-8", buffering=1) if log else None
        self._tls: ssl.SSLContext | None = None
        if tls:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(tls.certificate, tls.key)

    def __enter__(self) -> DemoServer:
        # The poll interval is what leaving the `with` may take.
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="demo server")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stopping.set()
        self.shutdown()
        self._thread.join()
        with self._lock:
            open_now = list(self._connections)
        for connection in open_now:
            with contextlib.suppress(OSError):  # the other side was faster
                # The plain socket's own method: SSLSocket's would take the TLS state away under its reader.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        self.server_close()
        if self._log:
            self._log.close()

    def count(self, method: str, path: str) -> int:
        """Count a request and return the how many-th of its kind it is, from 1."""
        with self._lock:
            self.requests[method, path] += 1
            return self.requests[method, path]

    def write_log(self, line: str) -> None:
        """Append one line to the request log, if there is one."""
        with self._lock:
            if self._log and not self._log.closed:
                self._log.write(line + "\n")

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; its TLS handshake is left to its thread, so that none holds up another."""
        connection, address = super().get_request()
        if self._tls:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self._lock:
            self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Close one connection and forget it."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when a client has gone: it may. Anything else is the server's fault and printed."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, ssl.SSLError)):
            super().handle_error(request, client_address)


class DemoHandler(BaseHTTPRequestHandler):
    """Answer requests over connections that stay open."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16  # status line, headers and a small body leave in one piece
    server: DemoServer

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Send a whole answer with its Content-Length; the body is left out for HEAD."""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class names it so)
        """Write what the base class would print to the request log."""
        self.server.write_log(f"{self.log_date_time_string()} {format % args}")


def arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser with what every server of the demo takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=0, help="0 (the default): any free one; it is printed")
    parser.add_argument("--log", type=Path, help="append a line per request to this file")
    parser.add_argument("--small", action="store_true", help="the small world, in which nothing stays wrong")
    parser.add_argument("--tls", nargs=2, type=Path, metavar=("CERTIFICATE", "KEY"), help="serve HTTPS")
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="end when whoever started this ends"
    )
    return parser


def wait_for_the_end(port: int, until_stdin_closes: bool) -> None:
    """Print `port` as the first line of stdout; return at SIGINT or SIGTERM or, if asked, at stdin's end."""

    def leave(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)  # a shell's background jobs begin with it ignored
    try:
        print(port, flush=True)  # who reads it may send a signal at once
        if until_stdin_closes:
            sys.stdin.buffer.read()
        else:
            threading.Event().wait()
    except KeyboardInterrupt:
        return
