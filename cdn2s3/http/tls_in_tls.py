"""A TLS session through a connection that is itself TLS: a tunnel through a proxy that is reached over https.

ssl.SSLSocket needs a socket of the system below it. Here the session works on memory (ssl.SSLObject), and its records
are sent and received over the outer session. It offers what a Connection needs of a non-blocking SSLSocket.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Callable, TypeVar, Union

_RECORD = 1 << 14  # bytes; the most that a TLS record holds
Buffer = Union[bytes, bytearray, memoryview]
Result = TypeVar("Result")


class TlsInTls:
    """The client side of a TLS session over another one, which is non-blocking; used by one thread at a time."""

    def __init__(self, outer: ssl.SSLSocket, tls: ssl.SSLContext, host: str) -> None:
        self._outer = outer
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._inner = tls.wrap_bio(self._received, self._to_send, server_hostname=host)
        self._unsent = memoryview(b"")

    def fileno(self) -> int:
        return self._outer.fileno()

    def settimeout(self, seconds: float) -> None:
        self._outer.settimeout(seconds)

    def setsockopt(self, *option: int) -> None:
        """Ignore SO_RCVLOWAT: how many bytes of a record two sessions hold back does not show."""

    def close(self) -> None:
        self._outer.close()

    def do_handshake(self) -> None:
        """Go on with the handshake; raise SSLWantReadError or SSLWantWriteError as long as it isn't over."""
        self._run(self._inner.do_handshake)
        self._flush()

    def pending(self) -> int:
        """Return how many bytes have been received and not been read, the outer session's included."""
        return self._inner.pending() + self._received.pending + self._outer.pending()

    def send(self, data: Buffer) -> int:
        """Send part of data and return its length, of which the end may leave with the next call."""
        self._flush()  # what is held back is at most one record
        sent = self._inner.write(memoryview(data)[:_RECORD])
        with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            self._flush()
        return sent

    def recv(self, most: int, flags: int = 0) -> bytes:
        """Receive up to most bytes; return b"" at the end of the session."""
        try:
            return self._run(lambda: self._inner.read(most))
        except ssl.SSLZeroReturnError:
            return b""

    def recv_into(self, into: memoryview, most: int = 0) -> int:
        """Receive up to most bytes (0: as many as fit) and return their number, 0 at the end of the session."""
        got = self.recv(most or len(into))
        into[: len(got)] = got
        return len(got)

    def _run(self, operation: Callable[[], Result]) -> Result:
        """Do operation, which may need records of the other side; raise SSLWant… when they have not come."""
        while True:
            self._flush()
            try:
                return operation()
            except ssl.SSLWantReadError:
                self._flush()
                got = self._outer.recv(_RECORD)
                if got:
                    self._received.write(got)
                else:
                    self._received.write_eof()

    def _flush(self) -> None:
        """Send what the session has written; raise SSLWantWriteError when the outer one takes no more."""
        while self._unsent or self._to_send.pending:
            if not self._unsent:
                self._unsent = memoryview(self._to_send.read())
            self._unsent = self._unsent[self._outer.send(self._unsent) :]
