"""A pool of kept-alive HTTP/1.1 connections to one server, each request within one deadline."""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from cdn2s3.errors import TransientError
from cdn2s3.http.connection import Buffer, Connection
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.dialing import Origin
from cdn2s3.http.proxies import Proxy, is_from_proxy, refusal
from cdn2s3.http.response import Response
from cdn2s3.http.tunnel import connection_through, forwarded, words_of


def origin_of(url: str) -> Origin:
    """Return the server that url names."""
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}[parts.scheme]
    return Origin(parts.scheme, parts.hostname or "", parts.port or default)


def host_header(origin: Origin) -> str:
    """Return the Host header for origin: the port only if it isn't the scheme's default."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    default = {"http": 80, "https": 443}[origin.scheme]
    return host if origin.port == default else f"{host}:{origin.port}"


def request_head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """Return the bytes of a request's head; headers are sent in their order, as Latin-1."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
        raise ValueError("a header with a line break")
    return (head + "\r\n\r\n").encode("latin-1")


class ConnectionPool:
    """Send requests to one server over kept-alive connections; shared by all threads."""

    def __init__(
        self, origin: Origin, tls: ssl.SSLContext | None, most_idle: int, proxy: Proxy | None = None
    ) -> None:
        """tls is None for a server over http; proxy is None for one that is reached directly."""
        self.origin = origin
        self._tls = tls
        self._most_idle = most_idle
        self._proxy = proxy
        self._forwarder = (
            proxy if tls is None else None
        )  # a proxy that reads the requests; a tunnel's does not
        self._idle: deque[Connection] = deque()  # its append and pop are atomic

    def request(self, method: str, pieces: Sequence[Buffer], deadline: Deadline) -> Response:
        """Send a request (head and body as pieces) and return the response with its head read.

        A kept-alive connection that died before a byte of the response arrived is replaced once by a new one.
        Raise TransientError (connection, timeout, server_error), Cancelled or FatalError.
        """
        if self._forwarder is not None:
            return self._through(self._forwarder, method, pieces, deadline)
        return self._sent(method, pieces, deadline)

    def _through(self, proxy: Proxy, method: str, pieces: Sequence[Buffer], deadline: Deadline) -> Response:
        """Do the same through a proxy that reads the request; an error response of its own is raised."""
        head = forwarded(bytes(pieces[0]), proxy, self.origin)
        answer = self._sent(method, (head, *pieces[1:]), deadline)
        if not is_from_proxy(answer.status, answer.headers):
            answer.proxy = str(proxy)
            return answer
        with answer:
            raise refusal(proxy, self.origin, answer.status, answer.headers, words_of(answer))

    def _sent(self, method: str, pieces: Sequence[Buffer], deadline: Deadline) -> Response:
        connection = self._take_idle()
        if connection is not None:
            try:
                return self._request_on(connection, method, pieces, deadline)
            except TransientError as error:
                if error.cause != "connection" or connection.answered:
                    raise
                deadline.resent = True
        return self._request_on(self._new_connection(deadline), method, pieces, deadline)

    def _new_connection(self, deadline: Deadline) -> Connection:
        if self._proxy is None:
            return Connection(self.origin, self._tls, deadline)
        return connection_through(self._proxy, self.origin, self._tls, deadline)

    def _request_on(
        self, connection: Connection, method: str, pieces: Sequence[Buffer], deadline: Deadline
    ) -> Response:
        """Exchange on connection, which is closed when that raises."""
        try:
            try:
                taken = connection.send(pieces, deadline)
            except TransientError as error:
                if error.cause != "connection":
                    raise
                return self._early_answer(connection, method, deadline, error)
            answer = Response(connection, deadline, method, self.release)
            answer.keep_alive = answer.keep_alive and taken
            return answer
        except BaseException:
            connection.close()
            raise

    def _early_answer(
        self, connection: Connection, method: str, deadline: Deadline, error: TransientError
    ) -> Response:
        """Return the response of a server that refused the body before its end, or raise error."""
        try:
            answer = Response(connection, deadline, method, self.release)
        except TransientError:
            raise error from None
        answer.keep_alive = False
        return answer

    def _take_idle(self) -> Connection | None:
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was faster
                return None
            if connection.is_quiet():
                connection.answered = False
                return connection
            connection.close()
        return None

    def release(self, connection: Connection) -> None:
        """Keep connection for a later request."""
        if len(self._idle) < self._most_idle:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()
