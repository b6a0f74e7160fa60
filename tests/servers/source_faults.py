"""What can go wrong with a download, by name: a status code, or one of the names in the tables below.

A rule's `value` is the Retry-After of a status or the Location of a redirect; "date:30" as Retry-After is the
HTTP date 30 seconds from now. `seconds` is how long a stall lasts (default 60) or the pause of a drip (0.2).
Each fault returns whether the connection may go on; one that ends inside a body never may.
"""

from __future__ import annotations

import gzip
import time
from dataclasses import dataclass
from email.utils import formatdate
from typing import Callable, Protocol

from tests.servers.rules import Rule
from tests.servers.wire import Connection, Request, response

LOGIN = b"<!DOCTYPE html><html><head><title>Login</title></head><body><form>Sign in</form></body></html>"
BOMB = 50_000_000  # bytes that the gzip bomb unpacks to


class Origin(Protocol):
    """What a fault needs to know of the server."""

    prefix: str

    def body(self, url: str) -> bytes:
        """Return the good bytes of a target."""

    def headers(self, body: bytes) -> list[tuple[str, str]]:
        """Return the headers of a good answer."""

    def answer(self, request: Request) -> bytes:
        """Return the good answer."""


@dataclass(frozen=True)
class Exchange:
    """A request on its connection, the rule that strikes it, and the server."""

    connection: Connection
    request: Request
    rule: Rule
    origin: Origin

    def body(self) -> bytes:
        """Return the bytes that should have come."""
        return self.origin.body(self.request.target)

    def head(self, *extra: tuple[str, str], status: int = 200, drop: tuple[str, ...] = ()) -> bytes:
        """Return a good head, some headers dropped and some added; nothing frames the body beyond them."""
        good = self.origin.headers(self.body())
        kept = [pair for pair in good if pair[0] not in drop]
        return response(status, [*kept, *extra, ("Content-Length", "*")]).replace(
            b"Content-Length: *\r\n", b""
        )


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
    return _packed(e, gzip.compress(bytes(BOMB), 9))


def _packed(e: Exchange, data: bytes) -> bool:
    extra = (("Content-Encoding", "gzip"), ("Content-Length", str(len(data))))
    e.connection.send(e.head(*extra, drop=_LENGTH), data)
    return True


# -- slowness and silence -----------------------------------------------------------------------------------


def _drip_headers(e: Exchange) -> bool:
    """The head comes byte by byte, then the body at once."""
    whole = e.connection.drip(e.head(), e.rule.lasting(0.2))
    if whole:
        e.connection.send(e.body())
    return whole


def _drip_body(e: Exchange) -> bool:
    e.connection.send(e.head())
    return e.connection.drip(e.body(), e.rule.lasting(0.2))


def _slow_body(e: Exchange) -> bool:
    """No fault: the body in ten pieces, `seconds` in all (default 1)."""
    body = e.body()
    e.connection.send(e.head())
    return e.connection.drip(body, e.rule.lasting(1.0) / 10, max(1, -(-len(body) // 10)))


def _stall_headers(e: Exchange) -> bool:
    """Nothing comes after the request."""
    e.connection.stall(e.rule.lasting(60.0))
    return False


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


# -- heads --------------------------------------------------------------------------------------------------


def _huge_headers(e: Exchange) -> bool:
    """One header line of 100 KB."""
    e.connection.send(e.head(("X-Filler", "x" * 100_000)), e.body())
    return False


def _many_headers(e: Exchange) -> bool:
    """Two thousand headers, over 64 KB together."""
    e.connection.send(e.head(*((f"X-Filler-{n}", "x" * 40) for n in range(2000))), e.body())
    return False


def _cookies(e: Exchange) -> bool:
    """No fault but a flood: 50 new cookies with every answer."""
    mark = f"{e.connection.number}-{e.connection.served}"
    flood = [("Set-Cookie", f"c{mark}-{n}=v; Path=/") for n in range(50)]
    e.connection.send(e.head(*flood), e.body())
    return True


def _continue_100(e: Exchange) -> bool:
    """No fault: an unasked 100 Continue before the answer."""
    e.connection.send(b"HTTP/1.1 100 Continue\r\n\r\n", e.origin.answer(e.request))
    return True


def _early_hints(e: Exchange) -> bool:
    """No fault: 103 Early Hints before the answer."""
    e.connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n", e.origin.answer(e.request))
    return True


def _garbage(e: Exchange) -> bool:
    """No HTTP at all."""
    e.connection.send(b"\x15\x03\x01\x00\x02\x02\x0a 220 smtp.example ESMTP\r\n\r\n")
    return False


def _octet_stream(e: Exchange) -> bool:
    """No fault: a good image labelled application/octet-stream."""
    e.connection.send(e.head().replace(b"image/jpeg", b"application/octet-stream"), e.body())
    return True


# -- connections --------------------------------------------------------------------------------------------


def _close(e: Exchange) -> bool:
    """Closed before the answer."""
    return False


def _reset(e: Exchange) -> bool:
    """Reset before the answer."""
    e.connection.reset()
    return False


def _close_reused(e: Exchange) -> bool:
    """Closed before the answer where the connection has served before; a first request is answered well."""
    if e.connection.served > 1:
        return False
    e.connection.send(e.origin.answer(e.request))
    return True


def _close_after(e: Exchange) -> bool:
    """A good answer that promises to keep the connection, and then its end."""
    e.connection.send(e.origin.answer(e.request))
    return False


# -- answers that are no image ------------------------------------------------------------------------------


def _html(e: Exchange) -> bool:
    """A page with status 200 under the image's Content-Type."""
    e.connection.send(response(200, [("Content-Type", "image/jpeg")], LOGIN))
    return True


def _empty(e: Exchange) -> bool:
    e.connection.send(response(200, [("Content-Type", "image/jpeg")]))
    return True


def _partial(e: Exchange) -> bool:
    """206 for a request without Range: the first half."""
    body = e.body()
    half = body[: len(body) // 2]
    extra = (("Content-Range", f"bytes 0-{len(half) - 1}/{len(body)}"), ("Content-Length", str(len(half))))
    e.connection.send(e.head(*extra, status=206, drop=_LENGTH), half)
    return True


def _redirect(e: Exchange, location: str) -> bool:
    e.connection.send(response(302, [("Location", e.rule.value or location)]))
    return True


def _redirect_login_inside(e: Exchange) -> bool:
    """302 to a login page under the prefix (it answers 200 with HTML)."""
    return _redirect(e, f"{e.origin.prefix}fault-html/login.html")


def _redirect_login_outside(e: Exchange) -> bool:
    """302 to a login page on the same host, outside the prefix."""
    return _redirect(e, "/login?next=image")


def _redirect_host(e: Exchange) -> bool:
    """302 to the same path on another host name (`value`; by default localhost for 127.0.0.1)."""
    host = e.request.headers.get("host", "").replace("127.0.0.1", "localhost")
    return _redirect(e, f"//{host}{e.request.target}")


def _redirect_loop(e: Exchange) -> bool:
    return _redirect(e, e.request.target)


def _redirect_fine(e: Exchange) -> bool:
    """302 to the same image elsewhere under the prefix, where it is served well."""
    prefix = e.origin.prefix
    if e.request.target.startswith(f"{prefix}moved/"):
        e.connection.send(e.origin.answer(e.request))
        return True
    return _redirect(e, f"{prefix}moved/{e.request.target[len(prefix) :]}")


def _status(e: Exchange) -> bool:
    """An error status with a small HTML body; `value` is its Retry-After."""
    status = int(e.rule.fault)
    headers = [("Content-Type", "text/html"), ("X-Cache", "Error from cloudfront")]
    if e.rule.value:
        headers.append(("Retry-After", _retry_after(e.rule.value)))
    body = b"" if status in (204, 304) else b"<html><body><h1>ERROR</h1></body></html>"
    e.connection.send(response(status, headers, body))
    return True


def _retry_after(value: str) -> str:
    if not value.startswith("date:"):
        return value
    return formatdate(time.time() + float(value[5:]), usegmt=True)


STATUSES = (
    "204",
    "304",
    "400",
    "401",
    "403",
    "404",
    "405",
    "408",
    "410",
    "425",
    "429",
    "451",
    "500",
    "502",
    "503",
    "504",
)
FAULTS: dict[str, Callable[[Exchange], bool]] = {
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
    "drip_headers": _drip_headers,
    "drip_body": _drip_body,
    "slow_body": _slow_body,
    "stall_headers": _stall_headers,
    "stall_body": _stall_body,
    "stall_no_length": _stall_no_length,
    "huge_headers": _huge_headers,
    "many_headers": _many_headers,
    "cookies": _cookies,
    "continue_100": _continue_100,
    "early_hints": _early_hints,
    "garbage": _garbage,
    "octet_stream": _octet_stream,
    "close": _close,
    "reset": _reset,
    "close_reused": _close_reused,
    "close_after": _close_after,
    "html": _html,
    "empty": _empty,
    "206": _partial,
    "redirect_login_inside": _redirect_login_inside,
    "redirect_login_outside": _redirect_login_outside,
    "redirect_host": _redirect_host,
    "redirect_loop": _redirect_loop,
    "redirect_fine": _redirect_fine,
    **dict.fromkeys(STATUSES, _status),
}
NAMES = frozenset(FAULTS)


def strike(exchange: Exchange) -> bool:
    """Let the fault happen. False: the connection ends."""
    return FAULTS[exchange.rule.fault](exchange)
