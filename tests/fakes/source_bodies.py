"""Downloads whose body goes wrong (or is right in an unusual form), by name. To HEAD they do not apply.

Each function returns whether the connection may go on; one that ends inside a body never may.
"""

from __future__ import annotations

import gzip
import time
from typing import Callable

from tests.fakes.source_exchange import Exchange

BOMB = 50_000_000  # bytes that the gzip bomb unpacks to
_LENGTH = ("Content-Length",)


# -- bodies that are not the file ---------------------------------------------------------------------------


def _short_body(e: Exchange) -> bool:
    """Content-Length says all, half comes."""
    body = e.body()
    e.connection.send(e.head(), body[: len(body) // 2])
    return False


def _short_by_one(e: Exchange) -> bool:
    e.connection.send(e.head(), e.body()[:-1])
    return False


def _chunks(body: bytes) -> bytes:
    step = max(1, len(body) // 5)
    pieces = [body[start : start + step] for start in range(0, len(body), step)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def _chunked(e: Exchange) -> bool:
    """No fault: a good body in chunks, without Content-Length."""
    e.connection.send(e.head(("Transfer-Encoding", "chunked"), drop=_LENGTH), _chunks(e.body()), b"0\r\n\r\n")
    return True


def _chunked_cut(e: Exchange) -> bool:
    """Chunks stop in the middle of one."""
    data = _chunks(e.body())
    e.connection.send(e.head(("Transfer-Encoding", "chunked"), drop=_LENGTH), data[: len(data) // 2])
    return False


def _chunked_no_end(e: Exchange) -> bool:
    """All the data chunks come, the last (empty) one does not."""
    e.connection.send(e.head(("Transfer-Encoding", "chunked"), drop=_LENGTH), _chunks(e.body()))
    return False


def _no_length(e: Exchange) -> bool:
    """No fault: the whole body, ended by the end of the connection."""
    e.connection.send(e.head(("Connection", "close"), drop=_LENGTH), e.body())
    return False


def _no_length_cut(e: Exchange) -> bool:
    """The same, cut half way: nothing on the wire tells."""
    body = e.body()
    e.connection.send(e.head(("Connection", "close"), drop=_LENGTH), body[: len(body) // 2])
    return False


def _http10(e: Exchange) -> bool:
    """No fault: HTTP/1.0, closed after a whole body with its length."""
    e.connection.send(e.head().replace(b"HTTP/1.1", b"HTTP/1.0", 1), e.body())
    return False


def _surplus(e: Exchange) -> bool:
    """Bytes follow the body on a connection that says nothing of closing."""
    e.connection.send(e.head(), e.body(), b"SURPLUS" * 100)
    return False


def _lengths_differ(e: Exchange) -> bool:
    body = e.body()
    e.connection.send(e.head(("Content-Length", str(len(body) // 2))), body)
    return False


def _length_garbage(e: Exchange) -> bool:
    e.connection.send(e.head(("Content-Length", "abc"), drop=_LENGTH), e.body())
    return False


def _length_negative(e: Exchange) -> bool:
    e.connection.send(e.head(("Content-Length", "-5"), drop=_LENGTH), e.body())
    return False


def _length_too_small(e: Exchange) -> bool:
    """Content-Length is half of the body that comes: a cut file by its length, surplus bytes behind it."""
    body = e.body()
    e.connection.send(e.head(("Content-Length", str(len(body) // 2)), drop=_LENGTH), body)
    return False


def _endless(e: Exchange) -> bool:
    """A chunked body that begins as the image and never ends."""
    e.connection.send(e.head(("Transfer-Encoding", "chunked"), drop=_LENGTH), _chunks(e.body()))
    return _pour(e, b"%x\r\n%s\r\n" % (65536, b"\xfe" * 65536))


def _endless_no_length(e: Exchange) -> bool:
    e.connection.send(e.head(("Connection", "close"), drop=_LENGTH), e.body())
    return _pour(e, b"\xfe" * 65536)


def _pour(e: Exchange, block: bytes) -> bool:
    """Send a block again and again, until the client leaves (OSError) or the rule's seconds are over."""
    end = time.monotonic() + e.rule.lasting(60.0)
    while time.monotonic() < end:
        e.connection.send(block)
    return False


# -- content codings ----------------------------------------------------------------------------------------


def _gzip(e: Exchange) -> bool:
    """gzip although identity was asked."""
    return _packed(e, gzip.compress(e.body(), 1))


def _gzip_cut(e: Exchange) -> bool:
    """A truncated gzip member whose Content-Length agrees with the cut."""
    data = gzip.compress(e.body(), 1)
    return _packed(e, data[: len(data) // 2])


def _gzip_mislabelled(e: Exchange) -> bool:
    """The raw image under Content-Encoding: gzip."""
    return _packed(e, e.body())


def _gzip_bomb(e: Exchange) -> bool:
    return _packed(e, gzip.compress(bytes(BOMB // 50), 9) * 50)  # in members: packed in a moment


def _packed(e: Exchange, data: bytes) -> bool:
    extra = (("Content-Encoding", "gzip"), ("Content-Length", str(len(data))))
    e.connection.send(e.head(*extra, drop=_LENGTH), data)
    return True


def _octet_stream(e: Exchange) -> bool:
    """No fault: a good image labelled application/octet-stream."""
    e.connection.send(e.head().replace(b"image/jpeg", b"application/octet-stream"), e.body())
    return True


# -- slowness and silence ----------------------------------------------------------------------------------


def _drip_body(e: Exchange) -> bool:
    e.connection.send(e.head())
    return e.connection.drip(e.body(), e.rule.lasting(0.2))


def _slow_body(e: Exchange) -> bool:
    """No fault: the body in ten pieces, `seconds` in all (default 1)."""
    body = e.body()
    e.connection.send(e.head())
    return e.connection.drip(body, e.rule.lasting(1.0) / 10, max(1, -(-len(body) // 10)))


def _stall_body(e: Exchange) -> bool:
    """Half the body, then silence."""
    body = e.body()
    e.connection.send(e.head(), body[: len(body) // 2])
    e.connection.stall(e.rule.lasting(60.0))
    return False


def _stall_no_length(e: Exchange) -> bool:
    """The same without Content-Length: a client that shuts the socket itself sees a clean end."""
    body = e.body()
    e.connection.send(e.head(("Connection", "close"), drop=_LENGTH), body[: len(body) // 2])
    e.connection.stall(e.rule.lasting(60.0))
    return False


BODIES: dict[str, Callable[[Exchange], bool]] = {
    "short_body": _short_body,
    "short_by_one": _short_by_one,
    "chunked": _chunked,
    "chunked_cut": _chunked_cut,
    "chunked_no_end": _chunked_no_end,
    "no_length": _no_length,
    "no_length_cut": _no_length_cut,
    "http10": _http10,
    "surplus": _surplus,
    "lengths_differ": _lengths_differ,
    "length_garbage": _length_garbage,
    "length_negative": _length_negative,
    "length_too_small": _length_too_small,
    "endless": _endless,
    "endless_no_length": _endless_no_length,
    "gzip": _gzip,
    "gzip_cut": _gzip_cut,
    "gzip_mislabelled": _gzip_mislabelled,
    "gzip_bomb": _gzip_bomb,
    "drip_body": _drip_body,
    "slow_body": _slow_body,
    "stall_body": _stall_body,
    "stall_no_length": _stall_no_length,
    "octet_stream": _octet_stream,
}
