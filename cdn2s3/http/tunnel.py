"""A connection through a proxy: a CONNECT tunnel to an https server, the proxy's own connection for an http one."""

from __future__ import annotations

import ssl

from cdn2s3.errors import TransientError
from cdn2s3.http.connection import Connection
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.dialing import Origin
from cdn2s3.http.proxies import Proxy, refusal
from cdn2s3.http.response import Response

_MOST_WORDS = 1 << 16  # bytes of a refusal's body


def connection_through(
    proxy: Proxy, origin: Origin, tls: ssl.SSLContext | None, deadline: Deadline
) -> Connection:
    """Return a connection on which requests to origin go through proxy.

    With tls it is a tunnel, and the TLS session is origin's own: the proxy sees bytes that it cannot read. Without, the
    proxy reads each request, which must name its server (forwarded()). Raise TransientError, Cancelled or FatalError.
    """
    try:
        connection = Connection(proxy.origin, proxy.tls, deadline)
    except TransientError as error:
        raise TransientError(error.cause, f"{error.message} ({proxy.variable})") from error
    if tls is None:
        return connection
    try:
        _ask_for_tunnel(connection, proxy, origin, deadline)
        connection.start_tls(tls, origin, deadline)
    except BaseException:
        connection.close()
        raise
    return connection


def _ask_for_tunnel(connection: Connection, proxy: Proxy, origin: Origin, deadline: Deadline) -> None:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    lines = [f"CONNECT {host}:{origin.port} HTTP/1.1", f"Host: {host}:{origin.port}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    connection.send((("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"),), deadline)
    answer = Response(connection, deadline, "CONNECT", Connection.close)
    if 200 <= answer.status < 300:
        return
    raise refusal(proxy, origin, answer.status, answer.headers, words_of(answer))


def words_of(answer: Response) -> bytes:
    """Return the body of a refusal, as far as it comes and is short enough."""
    try:
        return answer.body(_MOST_WORDS)
    except TransientError:
        return b""


def forwarded(head: bytes, proxy: Proxy, origin: Origin) -> bytes:
    """Return the head of a request to an http server as a proxy must get it: naming the server (RFC 9112, 3.2.2)."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    server = f"http://{host}" if origin.port == 80 else f"http://{host}:{origin.port}"
    authorization = f"Proxy-Authorization: {proxy.authorization}\r\n" if proxy.authorization else ""
    request_line, _, rest = head.partition(b"\r\n")
    method, _, target = request_line.partition(b" ")
    return b"%s %s%s\r\n%s%s" % (method, server.encode(), target, authorization.encode("latin-1"), rest)
