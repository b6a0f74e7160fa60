"""A local HTTP server for the demo, on the listener of the tests' servers: counters, a request log, a clean stop."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections import Counter
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from tests.fakes.wire import Connection, Listener, Request, response


class DemoServer:
    """Serve on a port of 127.0.0.1 inside `with`: `.url` is where, `.requests` what has been asked.

    Every attribute may be read from any thread. Leaving the `with` closes all connections, also those in the
    middle of an answer, and returns when the last thread has ended.
    """

    def __init__(self, handler: type[DemoHandler], port: int = 0, log: Path | None = None) -> None:
        """Listen on `port`, 0 for any free one, and append a line per request to the file `log`."""
        self.requests: Counter[tuple[str, str]] = Counter()  # by method and percent-decoded path
        self._handler = handler
        self._lock = threading.Lock()
        self._log: TextIO | None = log.open("a", encoding="utf-8", buffering=1) if log else None
        self._listener = Listener(self._serve, port=port)
        self.port = self._listener.port
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> DemoServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.stop()
        if self._log:
            self._log.close()

    def count(self, method: str, path: str) -> int:
        """Count a request and return the how many-th of its kind it is, from 1."""
        with self._lock:
            self.requests[method, path] += 1
            return self.requests[method, path]

    def write_log(self, request: Request, status: int) -> None:
        """Append a line for an answered request to the request log, if there is one."""
        with self._lock:
            if self._log and not self._log.closed:
                self._log.write(f'{formatdate(usegmt=True)} "{request.method} {request.target}" {status}\n')

    def _serve(self, connection: Connection) -> None:
        request = connection.read_request()
        while request is not None:
            handler = self._handler(self, connection, request)
            handler.reply()
            if handler.close_connection or not request.keeps_alive:
                return
            request = connection.read_request()


class DemoHandler:
    """Answers one request, GET or HEAD; the subclass says with what."""

    def __init__(self, server: Any, connection: Connection, request: Request) -> None:
        self.server = server
        self.connection = connection
        self.request = request
        self.close_connection = False  # True: nothing more is read from it

    def reply(self) -> None:
        """Answer the request."""
        raise NotImplementedError

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Send a whole answer with its Content-Length; the body is left out for HEAD."""
        self.answer_head(status, headers, len(body), b"" if self.request.method == "HEAD" else body)

    def answer_head(self, status: int, headers: dict[str, str], length: int, body: bytes = b"") -> None:
        """Send a head that promises `length` bytes, and as many of them as are given."""
        self.server.write_log(self.request, status)
        framed = [*headers.items(), ("Content-Length", str(length))]
        self.connection.send(response(status, framed, body))


def arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser with what every server of the demo takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=0, help="0 (the default): any free one; it is printed")
    parser.add_argument("--log", type=Path, help="append a line per request to this file")
    parser.add_argument("--small", action="store_true", help="the small world, in which every fault recovers")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when the parent process ends")
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
