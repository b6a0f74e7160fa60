"""Opening a connection: name lookup, connect, TLS handshake, within one deadline."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import NamedTuple

from cdn2s3.errors import FatalError, TransientError
from cdn2s3.http.deadline import SLICE, Deadline
from cdn2s3.http.happy_eyeballs import connected
from cdn2s3.http.resolver import RESOLVER
from cdn2s3.http.tls_in_tls import TlsInTls

# What a machine without IPv6 says of an IPv6 address: it lacks the family, an address of its own, or a route.
_NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.ENETUNREACH})


class Origin(NamedTuple):
    """A server, as in the first part of a URL."""

    scheme: str  # http or https
    host: str  # as for getaddrinfo: an IPv6 address without brackets
    port: int
    is_proxy: bool = False

    def __str__(self) -> str:
        return f"{self.named}:{self.port}"

    @property
    def named(self) -> str:
        """The host, for people."""
        return f"the proxy {self.host}" if self.is_proxy else self.host


def connect(origin: Origin, deadline: Deadline) -> socket.socket:
    """Connect to the first address of origin that responds; one deadline for all of them."""
    try:
        addresses = RESOLVER.addresses(origin.host, origin.port, deadline)
    except UnicodeError as error:  # the name is too long or has an empty part
        raise TransientError(
            "connection", f"{origin.named} cannot be looked up: it is not a valid host name"
        ) from error
    except OSError as error:
        raise translated(error, origin) from error
    families = {address.family for address in addresses}
    try:
        sock, address = connected(addresses, deadline)
    except OSError as error:
        if families == {socket.AF_INET6} and error.errno in _NO_IPV6:
            raise TransientError(
                "connection",
                f"{origin.named} has only IPv6 addresses, and this machine has no IPv6 ({error.strerror})",
            ) from error
        raise translated(error, origin) from error
    if len(families) > 1:
        RESOLVER.note_family(origin.host, origin.port, address.family)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return sock


def start_tls(
    below: socket.socket, tls: ssl.SSLContext, origin: Origin, deadline: Deadline
) -> ssl.SSLSocket | TlsInTls:
    """Do the TLS handshake with origin on below, which is closed when it fails; below may be a TLS session itself."""
    try:
        below.settimeout(SLICE)
        sock: ssl.SSLSocket | TlsInTls
        if isinstance(below, ssl.SSLSocket):
            sock = TlsInTls(below, tls, origin.host)
        else:
            sock = tls.wrap_socket(below, server_hostname=origin.host, do_handshake_on_connect=False)
    except OSError as error:
        below.close()
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
        return _not_trusted(error, origin)
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
        return TransientError("connection", f"{origin.named} cannot be looked up: {what}")
    return TransientError("connection", f"{origin}: {what}")


# OpenSSL's X509_V_ERR_ codes.
_NOT_IN_ITS_TIME = frozenset({9, 10})  # CERT_NOT_YET_VALID, CERT_HAS_EXPIRED
_OF_ANOTHER_NAME = frozenset({62, 64})  # HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH


def _not_trusted(error: ssl.SSLCertVerificationError, origin: Origin) -> FatalError:
    said = f"the TLS certificate of {origin} is not trusted ({error.verify_message.rstrip('.')})."
    code = getattr(error, "verify_code", 0)
    if code in _NOT_IN_ITS_TIME:
        return FatalError(
            f"{said} Is this machine's clock right (`date -u`)? If it is, the certificate's owner must renew it."
        )
    if code in _OF_ANOTHER_NAME:
        return FatalError(
            f"{said} It is another server's: correct the host's name in the settings; if that is right, the server "
            "is set up wrongly, or something is intercepting the connection."
        )
    return FatalError(
        f"{said} If it is signed by your own certificate authority, set CA_BUNDLE to its PEM file; otherwise, the "
        "server leaves out a certificate of its chain, or something is intercepting the connection."
    )
