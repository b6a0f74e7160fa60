"""What can go wrong with a download, by name: a status code, or one of the names in the tables below.

A rule's `value` is the Retry-After of a status or the Location of a redirect; "date:30" as Retry-After is the
HTTP date 30 seconds from now. `seconds` is how long a stall lasts (default 60) or the pause of a drip (0.2).
Each fault returns whether the connection may go on; one that ends inside a body never may.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Callable

from tests.fakes.source_bodies import BODIES
from tests.fakes.source_exchange import Exchange
from tests.fakes.wire import response

LOGIN = b"<!DOCTYPE html><html><head><title>Login</title></head><body><form>Sign in</form></body></html>"


# -- silence before the answer -----------------------------------------------------------------------------


def _drip_headers(e: Exchange) -> bool:
    """The head comes byte by byte, then the body at once."""
    if not e.connection.drip(e.head(), e.rule.lasting(0.2)):
        return False
    if e.request.method != "HEAD":
        e.connection.send(e.body())
    return True


def _stall_headers(e: Exchange) -> bool:
    """Nothing comes after the request."""
    e.connection.stall(e.rule.lasting(60.0))
    return False


# -- heads --------------------------------------------------------------------------------------------------


def _huge_headers(e: Exchange) -> bool:
    """One header line of 100 KB."""
    e.send(e.head(("X-Filler", "x" * 100_000)), e.body())
    return False


def _many_headers(e: Exchange) -> bool:
    """Two thousand headers, over 64 KB together."""
    e.send(e.head(*((f"X-Filler-{n}", "x" * 40) for n in range(2000))), e.body())
    return False


def _cookies(e: Exchange) -> bool:
    """No fault but a flood: 50 new cookies with every answer."""
    mark = f"{e.connection.number}-{e.connection.served}"
    flood = [("Set-Cookie", f"c{mark}-{n}=v; Path=/") for n in range(50)]
    e.send(e.head(*flood), e.body())
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
    e.send(response(200, [("Content-Type", "image/jpeg")], LOGIN))
    return True


def _empty(e: Exchange) -> bool:
    e.send(response(200, [("Content-Type", "image/jpeg")]))
    return True


def _partial(e: Exchange) -> bool:
    """206 for a request without Range: the first half."""
    body = e.body()
    half = body[: len(body) // 2]
    extra = (("Content-Range", f"bytes 0-{len(half) - 1}/{len(body)}"), ("Content-Length", str(len(half))))
    e.send(e.head(*extra, status=206, drop=("Content-Length",)), half)
    return True


def _redirect(e: Exchange, location: str) -> bool:
    e.send(response(302, [("Location", e.rule.value or location)]))
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
    e.send(response(status, headers, body))
    return True


def _s3_slow_down(e: Exchange) -> bool:
    """503 with the body of S3's SlowDown, as a CDN passes it on from the bucket behind it."""
    body = (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>SlowDown</Code><Message>Slow</Message></Error>'
    )
    e.send(response(503, [("Content-Type", "application/xml")], body))
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
_ANSWERS: dict[str, Callable[[Exchange], bool]] = {
    "drip_headers": _drip_headers,
    "stall_headers": _stall_headers,
    "huge_headers": _huge_headers,
    "many_headers": _many_headers,
    "cookies": _cookies,
    "continue_100": _continue_100,
    "early_hints": _early_hints,
    "garbage": _garbage,
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
    "s3_slow_down": _s3_slow_down,
    **dict.fromkeys(STATUSES, _status),
}
NAMES = frozenset(_ANSWERS).union(BODIES)


def strike(exchange: Exchange) -> bool:
    """Let the fault happen. False: the connection ends."""
    name = exchange.rule.fault
    if name in _ANSWERS:
        return _ANSWERS[name](exchange)
    if exchange.request.method == "HEAD":
        exchange.send(exchange.origin.answer(exchange.request))
        return True
    return BODIES[name](exchange)
