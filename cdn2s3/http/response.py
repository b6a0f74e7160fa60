"""An HTTP/1.1 response, read from a connection: its head, then its body, to its end or not at all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Callable

from cdn2s3.errors import TransientError
from cdn2s3.http.connection import BUFFER_BYTES, Connection
from cdn2s3.http.deadline import Deadline

_HEAD_LIMIT = 1 << 16
_WHOLE_BODY_LIMIT = 64_000_000  # bytes; pages of a JSON API and of a listing are far smaller
_SMALL = 1 << 14  # bytes; error pages of CloudFront and S3 are far smaller
_DRAIN_SECONDS = 1.0  # seconds; a new connection is faster
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) (\d{3})(?: |$)")
_NO_BODY = frozenset({204, 304})
_LENGTH_DIGITS = 18  # more would be an exabyte and more


class Response:
    """The head of an HTTP response, and its body, to be read once. Close it, or use it as a context manager."""

    def __init__(
        self, connection: Connection, deadline: Deadline, method: str, release: Callable[[Connection], None]
    ) -> None:
        self._release = release
        self._connection = connection
        self._deadline = deadline
        self._buffer = connection.buffer
        self._start = self._end = 0
        self._closed = False
        self.proxy = ""  # that has forwarded it, and may have answered itself; "" for none
        self.status = 100
        self.headers: dict[str, str] = {}  # names in lower case
        while self.status < 200:  # 100 Continue and 103 Early Hints precede the response
            self._read_head()
        self.chunked = False
        self.length = self._body_length(method)  # bytes of the body; None if only its end shows
        self.received = 0  # bytes of the body that have been read
        self._left = self.length
        self._in_chunk = 0
        self._ended = self.length == 0

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _receive(self) -> int:
        """Receive into the free end of the buffer; return how many bytes arrived, 0 at the end."""
        received = self._connection.receive(memoryview(self._buffer)[self._end :], self._deadline)
        self._end += received
        return received

    def _read_head(self) -> None:
        searched = self._start
        while True:
            end = self._buffer.find(b"\r\n\r\n", searched, self._end)
            if end >= 0:
                break
            searched = max(self._start, self._end - 3)
            if self._end == len(self._buffer):
                if self._end >= _HEAD_LIMIT:
                    raise TransientError("server_error", "the response headers are over 64 KB")
                self._buffer.extend(bytes(len(self._buffer)))
            if not self._receive():
                raise TransientError(
                    "connection", f"{self._connection.origin} closed the connection before it responded"
                )
        lines = bytes(self._buffer[self._start : end]).split(b"\r\n")
        self._start = end + 4
        status = _STATUS_LINE.match(lines[0])
        if not status:
            raise TransientError("server_error", "the response is not HTTP")
        self.status = int(status[2])
        self.headers = _parsed(lines[1:])
        options = [option.strip() for option in self.headers.get("connection", "").lower().split(",")]
        self.keep_alive = status[1] == b"1" and "close" not in options

    def _body_length(self, method: str) -> int | None:
        if method == "HEAD" or self.status in _NO_BODY:
            return 0
        if method == "CONNECT" and self.status < 300:
            return 0  # what follows is the tunnel (RFC 9110, 9.3.6)
        length = self.headers.get("content-length", "")
        coding = self.headers.get("transfer-encoding", "identity").lower()
        if coding == "chunked":
            self.chunked = True
            self.keep_alive = (
                self.keep_alive and not length
            )  # a response with both is ambiguous (RFC 9112, 6.1)
            return None
        if coding != "identity":
            raise TransientError("server_error", f"the response has the transfer coding {coding[:40]!r}")
        if not (length.isascii() and length.isdigit()):
            return None  # unreadable: the same as none
        if len(length) > _LENGTH_DIGITS:
            raise TransientError("server_error", "the response's Content-Length is impossibly large")
        return int(length)

    def read_into(self, view: memoryview) -> int:
        """Read part of the body into view; return its length in bytes, 0 at the end of the body.

        Raise TransientError: truncated when the connection ends before the body does.
        """
        if self._ended:
            return 0
        if self.chunked and self._in_chunk == 0 and not self._next_chunk():
            self._ended = True
            return 0
        wanted = self._in_chunk if self.chunked else self._left
        if wanted is not None and wanted < len(view):
            view = view[:wanted]
        got = self._take(view, fills=wanted is not None)
        self.received += got
        if wanted is None:
            self._ended = self._ended or got == 0
            return got
        if got == 0:
            raise TransientError("truncated", "the connection ended before the body did")
        if self.chunked:
            self._in_chunk -= got
            if self._in_chunk == 0 and self._line():
                raise TransientError("truncated", "a chunk is longer than announced")
        else:
            self._left = wanted - got
            self._ended = self._left == 0
        return got

    def _take(self, view: memoryview, fills: bool) -> int:
        """Move bytes into view: first those that arrived with the head, then from the connection.

        fills as for Connection.receive.
        """
        ready = min(self._end - self._start, len(view))
        if ready:
            view[:ready] = memoryview(self._buffer)[self._start : self._start + ready]
            self._start += ready
            return ready
        return self._connection.receive(view, self._deadline, fills)

    def _next_chunk(self) -> bool:
        """Read the next chunk's length; return False at the last one, whose trailers are skipped."""
        size = self._line().split(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}", size):
            raise TransientError("truncated", "a chunk's length is invalid")
        self._in_chunk = int(size, 16)
        if self._in_chunk:
            return True
        while self._line():
            pass
        return False

    def _line(self) -> bytes:
        """Read a line of the chunked framing, without its line break."""
        while True:
            end = self._buffer.find(b"\r\n", self._start, self._end)
            if end >= 0:
                line = bytes(self._buffer[self._start : end])
                self._start = end + 2
                return line
            rest = self._buffer[self._start : self._end]
            if len(rest) > BUFFER_BYTES // 2:
                raise TransientError("truncated", "a chunk's length is invalid")
            self._buffer[: len(rest)] = rest
            self._start, self._end = 0, len(rest)
            if not self._receive():
                raise TransientError("truncated", "the connection ended before the body did")

    def body(self, most: int = _WHOLE_BODY_LIMIT) -> bytes:
        """Return the rest of the body; raise TransientError when it is longer than most bytes or truncated."""
        parts: list[bytes] = []
        room = bytearray(min(self.length or 0, most) or BUFFER_BYTES)
        total = 0
        while got := self.read_into(memoryview(room)):
            total += got
            if total > most:
                raise TransientError("server_error", f"the response is over {most} bytes")
            parts.append(bytes(room[:got]))
        return b"".join(parts)

    def drain(self) -> bytes:
        """Read a body that matters little, so that its connection can be reused; return it, or b"".

        A body that is over _SMALL bytes, has no known end or does not arrive quickly costs more than a new
        connection, and stays unread. Raise Cancelled.
        """
        if (self.length is None and not self.chunked) or (self._left or 0) > _SMALL:
            return b""
        with suppress(TransientError):
            self._deadline = Deadline(min(_DRAIN_SECONDS, self._deadline.remaining()), self._deadline.stop)
            return self.body(_SMALL)
        return b""

    @property
    def has_surplus(self) -> bool:
        """Whether bytes have arrived after a body that has been read to its announced length."""
        if self._left != 0 or self.chunked or not self.length:
            return False
        return self._start < self._end or self._connection.has_more()

    def close(self) -> None:
        """Return the connection for reuse; close it if the body was not read completely."""
        if self._closed:
            return
        self._closed = True
        framed = self.chunked or self.length is not None
        if self._ended and framed and self.keep_alive and self._start == self._end:
            self._release(self._connection)
        else:
            self._connection.close()


def _parsed(lines: Sequence[bytes]) -> dict[str, str]:
    """Return header lines as a dict, names in lower case, repeated ones joined with commas."""
    headers: dict[str, str] = {}
    name = ""
    for line in lines:
        if line[:1] in (b" ", b"\t") and name:  # a continuation of the previous line (RFC 9112, 5.2)
            headers[name] += " " + line.strip().decode("latin-1")
            continue
        raw_name, colon, raw_value = line.partition(b":")
        if not colon:
            raise TransientError("server_error", "the response has a header without a colon")
        name, value = raw_name.strip().decode("latin-1").lower(), raw_value.strip().decode("latin-1")
        if name not in headers:
            headers[name] = value
        elif name != "content-length":
            headers[name] += ", " + value
        elif headers[name] != value:
            raise TransientError("server_error", "the response has two different Content-Lengths")
    return headers
