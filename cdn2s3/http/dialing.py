"""Opening a connection: name lookup, connect, TLS handshake, within one deadline."""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
from typing import NamedTuple

import certifi

from cdn2s3.errors import FatalError, TransientError
from cdn2s3.http.deadline import SLICE, Deadline


class Origin(NamedTuple):
    """A server, as in the first part of a URL."""

    scheme: str  # http or https
    host: str  # as for getaddrinfo: an IPv6 address without brackets
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def connect(origin: Origin, deadline: Deadline) -> socket.socket:
    """Connect to the first address of origin that responds; one deadline for all of them."""
    try:
        addresses = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # the name is too long or has an empty part
        raise TransientError(
            "connection", f"{origin.host} cannot be looked up: it is not a valid host name"
        ) from error
    except OSError as error:
        raise translated(error, origin) from error
    failure: TransientError | None = None
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        try:
            share = deadline.remaining() / (len(addresses) - number)  # leave time for the addresses after it
            sock = _new_socket(family, kind, protocol, origin)
            try:
                _connect_to(sock, address, Deadline(share, deadline.stop), origin)
            except BaseException:
                sock.close()
                raise
            return sock
        except TransientError as error:
            failure = error
    raise failure or TransientError("connection", f"{origin} has no address")


def _new_socket(family: int, kind: int, protocol: int, origin: Origin) -> socket.socket:
    try:
        sock = socket.socket(family, kind, protocol)
    except OSError as error:  # no file left, or an address family that this machine lacks
        raise translated(error, origin) from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return sock


def _connect_to(sock: socket.socket, address: object, deadline: Deadline, origin: Origin) -> None:
    sock.setblocking(False)
    try:
        sock.connect(address)  # type: ignore[arg-type]  # what getaddrinfo gave
    except BlockingIOError:
        pass
    except OSError as error:
        raise translated(error, origin) from error
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    while not poll.poll(min(SLICE, deadline.remaining()) * 1000):
        pass
    refused = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if refused:
        raise translated(OSError(refused, os.strerror(refused)), origin)


def start_tls(plain: socket.socket, tls: ssl.SSLContext, origin: Origin, deadline: Deadline) -> ssl.SSLSocket:
    """Do the TLS handshake on plain, which is closed when it fails."""
    try:
        plain.settimeout(SLICE)
        sock = tls.wrap_socket(plain, server_hostname=origin.host, do_handshake_on_connect=False)
    except OSError as error:
        plain.close()
        raise translated(error, origin) from error
    while True:
        try:
            deadline.remaining()
            sock.do_handshake()
            return sock
        except (socket.timeout, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            continue
        except OSError as error:
            sock.close()
            raise translated(error, origin) from error
        except BaseException:
            sock.close()
            raise


def translated(error: OSError, origin: Origin) -> TransientError | FatalError:
    """Return what an error of the socket, TLS or name service means for the run."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return FatalError(
            f"the TLS certificate of {origin} is not trusted ({error.verify_message}). If it is signed by your "
            "own certificate authority, set CA_BUNDLE to its PEM file; otherwise, something is intercepting the "
            "connection."
        )
    if getattr(error, "reason", None) == "WRONG_VERSION_NUMBER":  # of OpenSSL
        return TransientError(
            "connection", f"{origin} was contacted over https, but does not speak TLS: http instead of https?"
        )
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return FatalError(
            "too many open files. Raise the limit (ulimit -n 4096) or lower CONCURRENCY, then run it again."
        )
    what = error.strerror or type(error).__name__
    if isinstance(error, socket.gaierror):
        return TransientError("connection", f"{origin.host} cannot be looked up: {what}")
    return TransientError("connection", f"{origin}: {what}")


def tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    """Return the one TLS context of a run: certificates and names are always verified."""
    context = ssl.create_default_context(cafile=ca_bundle or certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
