"""A connection to one server, on which every wait ends: at the deadline, or when the run is stopped.

requests' own `timeout` applies to each read of a socket, so a server that sends a byte now and then blocks a
worker forever. Here each call on the socket waits SLICE seconds at most, then checks the clock and the
stop flag; the bound covers connect, TLS handshake, request, response head and body together. No watchdog
thread shuts sockets down from outside (under TLS that hands ciphertext to the reader, CPython issue 124618).
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Union

from cdn2s3.errors import TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.dialing import Origin, connect, start_tls, translated
from cdn2s3.http.tls_in_tls import TlsInTls

BUFFER_BYTES = 1 << 14  # a response's head and the start of its body; the size of one TLS record
_SENT_AT_ONCE = 1 << 16  # bytes; a request's head and the start of its body go in one call, up to so many
_WOKEN_AT = 1 << 18  # bytes; a body that is awaited wakes its worker when so many have come, or its rest
Buffer = Union[bytes, bytearray, memoryview]


class Connection:
    """A socket with TLS where asked; used by one thread at a time. All errors are TransientError or FatalError."""

    def __init__(self, origin: Origin, tls: ssl.SSLContext | None, deadline: Deadline) -> None:
        self.origin = origin
        self.buffer = bytearray(BUFFER_BYTES)  # response heads are read here
        self.answered = False  # True as soon as a byte has arrived in this exchange
        plain = connect(origin, deadline)
        self._tls = None if tls is None else start_tls(plain, tls, origin, deadline)
        self._use(self._tls or plain)
        self._woken_at = 1  # bytes that must have come before a wait ends (SO_RCVLOWAT)
        self._early = bytearray()  # of the answer, received while the request was being sent

    def _use(self, sock: socket.socket | TlsInTls) -> None:
        self._sock = sock
        sock.settimeout(0)  # it is tried first and waited for only then: most calls need no wait
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._busy_poll = select.poll()
        self._busy_poll.register(sock, select.POLLIN | select.POLLOUT)

    def start_tls(self, tls: ssl.SSLContext, origin: Origin, deadline: Deadline) -> None:
        """Begin a TLS session with origin on a connection to a proxy that has become a tunnel to it."""
        self.origin = origin
        self.answered = False
        assert isinstance(self._sock, socket.socket)  # a tunnel in a tunnel is never built
        self._tls = start_tls(self._sock, tls, origin, deadline)
        self._use(self._tls)

    def is_quiet(self) -> bool:
        """Return whether an idle connection may be reused: open, and nothing unsolicited has arrived."""
        if self._tls is not None and self._tls.pending():
            return False  # the rest of a TLS record that has been received: the socket does not show it
        self._wake_at(1)
        return not self._poll.poll(0)

    def has_more(self) -> bool:
        """Return whether bytes have arrived that nobody has received; the end of the connection doesn't count.

        Under TLS only the rest of a received record counts: the socket may have a session ticket.
        """
        if self._tls is not None:
            return bool(self._tls.pending())
        self._wake_at(1)
        try:
            return bool(self._poll.poll(0)) and bool(self._sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False  # reset: nothing will come

    def send(self, pieces: Sequence[Buffer], deadline: Deadline) -> bool:
        """Send all pieces; return False, with the rest unsent, when the server responds before it has read everything.

        Raise TransientError when it neither responds nor reads them in time.
        """
        deadline.remaining()  # again at each wait; in between, the system takes what it has room for
        send = self._sock.send
        try:
            for piece in _packed(pieces, _SENT_AT_ONCE if self._tls is None else BUFFER_BYTES):
                view = memoryview(piece)
                while view:
                    try:
                        view = view[send(view) :]
                    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                        if self._answers_instead(deadline):
                            return False
        except OSError as error:
            raise translated(error, self.origin) from error
        return True

    def _answers_instead(self, deadline: Deadline) -> bool:
        """Wait until more can be sent or the deadline must be checked; return whether the final response has begun."""
        if not any(events & ~select.POLLOUT for _, events in self._busy_poll.poll(deadline.slice_ms())):
            return False
        try:
            while True:
                got = self._sock.recv(BUFFER_BYTES)
                if not got:
                    raise TransientError(
                        "connection", f"{self.origin} closed the connection before it took the request"
                    )
                self.answered = True
                self._early += got
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return _is_final(bytes(self._early))

    def receive(self, into: memoryview, deadline: Deadline, fills: bool = False) -> int:
        """Receive what is available, up to the length of into; return its length in bytes, 0 at the end.

        fills: into is no longer than what must come. Then a wait ends only when much of it has come, and under
        TLS, which gives a record of 16 KB at a time, all records are taken that have arrived.
        """
        if self._early:
            taken = self._early[: len(into)]
            into[: len(taken)] = taken
            del self._early[: len(taken)]
            return len(taken)
        deadline.remaining()  # also if there is always something: an endless body
        read = self._records if fills and self._tls is not None else self._sock.recv_into
        while True:
            try:
                received = read(into)
                self.answered = self.answered or received > 0
                return received
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wake_at(self._certain_bytes(len(into)) if fills else 1)
                self._poll.poll(deadline.slice_ms())
            except ssl.SSLWantWriteError:
                self._busy_poll.poll(deadline.slice_ms())
            except OSError as error:
                raise translated(error, self.origin) from error

    def _certain_bytes(self, missing: int) -> int:
        """Return the least number of bytes that the socket gets while missing bytes of a body arrive."""
        # Of a TLS record that has come in part, OpenSSL may have taken all but its end from the socket.
        taken_already = 0 if self._tls is None else BUFFER_BYTES
        return min(_WOKEN_AT, max(1, missing - taken_already))

    def _wake_at(self, received: int) -> None:
        """Let waits end when received bytes have come (or the connection has ended), not at each packet.

        150 workers that are woken for every few packets spend more on that than on the bytes.
        """
        if received != self._woken_at:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, received)
            self._woken_at = received

    def _records(self, into: memoryview) -> int:
        """Read TLS records into into until it is full or none is left; raise SSLWantReadError if there is none."""
        assert self._tls is not None
        receive, wanted = self._tls.recv_into, len(into)
        filled = receive(into, wanted)
        with suppress(ssl.SSLWantReadError):
            while filled < wanted and (got := receive(into[filled:], wanted - filled)):
                filled += got
        return filled

    def close(self) -> None:
        self._sock.close()


def _packed(pieces: Sequence[Buffer], most: int) -> Sequence[Buffer]:
    """Return pieces with the first, a request's head, joined with the start of the second, most bytes in all.

    Each call on the socket is a separate packet and wake-up, and under TLS a record: both cost more than
    copying so few bytes.
    """
    if len(pieces) < 2 or len(pieces[0]) >= most:
        return pieces
    head, body = pieces[0], memoryview(pieces[1])
    room = most - len(head)
    return [b"".join((head, body[:room])), body[room:], *pieces[2:]]


def _is_final(received: bytes) -> bool:
    """Return whether received, the start of a response, goes beyond interim ones (100 Continue)."""
    status_at = len(b"HTTP/1.1 ")
    while received[status_at : status_at + 1] == b"1" and b"\r\n\r\n" in received:
        received = received.partition(b"\r\n\r\n")[2]
    return len(received) > status_at and received[status_at : status_at + 1] != b"1"
