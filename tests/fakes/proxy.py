"""An HTTP proxy that logs: CONNECT tunnels, requests in absolute form, basic authentication, refusals on demand."""

from __future__ import annotations

import select
import socket
import ssl
from base64 import b64encode
from types import TracebackType
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.fakes.wire import Connection, Listener, Request, response


class Seen(NamedTuple):
    """What the proxy was asked for."""

    method: str  # CONNECT for a tunnel
    target: str  # host:port of a tunnel, else the whole URL
    headers: dict[str, str]  # lower-case names


class ProxyServer:
    """A proxy on 127.0.0.1; all names lead to 127.0.0.1."""

    def __init__(self, tls: ssl.SSLContext | None = None, user: str = "", password: str = "") -> None:
        """tls makes it one that is reached over https; user and password are asked for if set."""
        self.log: list[Seen] = []
        self.answers: bytes | None = None  # sent to requests instead of doing what they ask
        self.answers_for = ""  # only to those whose target contains this
        self._wanted = f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}" if user else ""
        self._scheme = "http" if tls is None else "https"
        self._listener = Listener(self._serve, tls)

    def __enter__(self) -> ProxyServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.stop()

    @property
    def network(self) -> Listener:
        return self._listener

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._listener.port}"

    def url_with(self, userinfo: str) -> str:
        return self.url.replace("://", f"://{userinfo}@")

    @property
    def tunnels(self) -> list[str]:
        """The targets of the tunnels that were asked for."""
        return [seen.target for seen in self.log if seen.method == "CONNECT"]

    def _serve(self, peer: Connection) -> None:
        request = peer.read_request()
        if request is None:
            return
        self.log.append(Seen(request.method, request.target, request.headers))
        if self.answers is not None and self.answers_for in request.target:
            peer.send(self.answers)
        elif self._wanted and request.headers.get("proxy-authorization") != self._wanted:
            headers = [("Proxy-Authenticate", 'Basic realm="canary"'), ("Connection", "close")]
            peer.send(response(407, headers, b"<h1>Who are you?</h1>"))
        elif request.method == "CONNECT":
            _tunnel(peer, request)
        else:
            _forward(peer, request)


def _tunnel(peer: Connection, request: Request) -> None:
    port = int(request.target.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as upstream:
        peer.send(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 fake\r\n\r\n")
        _relay(peer, upstream)


def _forward(peer: Connection, request: Request) -> None:
    """Pass on one request and all that comes back; the connection ends with it."""
    url = urlsplit(request.target)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    lines = [f"{request.method} {target} HTTP/1.1"]
    lines += [
        f"{name}: {request.headers[name.lower()]}" for name in request.names if "proxy" not in name.lower()
    ]
    lines += ["Connection: close", "", ""]
    with socket.create_connection(("127.0.0.1", url.port or 80), timeout=10) as upstream:
        upstream.sendall("\r\n".join(lines).encode("latin-1"))
        if "content-length" in request.headers:
            upstream.sendall(peer.read(int(request.headers["content-length"])))
        while got := upstream.recv(65536):
            peer.send(got)


def _relay(peer: Connection, upstream: socket.socket) -> None:
    poll = select.poll()
    poll.register(peer.fileno(), select.POLLIN)
    poll.register(upstream, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll(10_000)}
        if not ready:
            return
        if peer.fileno() in ready:
            while True:
                got = peer.read_some()
                if not got:
                    return
                upstream.sendall(got)
                if not peer.has_pending:
                    break
        if upstream.fileno() in ready:
            got = upstream.recv(65536)
            if not got:
                return
            peer.send(got)
