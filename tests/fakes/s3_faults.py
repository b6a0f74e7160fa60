"""What can go wrong with a request to S3, by name: every error code of s3_errors, and the names below.

A rule's `value` is the Retry-After of an error, or the Location of a redirect; `seconds` is how long a stall
lasts. Requests that are wrong by themselves (signature, digest) get their own error; faults strike good ones.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Callable

from tests.fakes.rules import Rule
from tests.fakes.s3_calls import Call, Reply
from tests.fakes.s3_errors import ERRORS, S3Error
from tests.fakes.wire import Connection, Request

_HTML = (
    b"<!DOCTYPE html><html><head><title>Proxy</title></head><body><h1>Sign in to continue</h1></body></html>"
)


@dataclass(frozen=True)
class Exchange:
    """A request on its connection, and the rule that strikes it."""

    connection: Connection
    request: Request
    operation: str
    rule: Rule | None  # None: nothing goes wrong


Run = Callable[[Call], Reply]


# -- before the body: the connection ends without an answer -------------------------------------------------


def _drop_before(exchange: Exchange, rule: Rule) -> None:
    """Close at once; nothing is stored."""


def _close_reused(exchange: Exchange, rule: Rule) -> None:
    """Close at once where the connection has served before; a first request is not struck."""


def _reset_mid_body(exchange: Exchange, rule: Rule) -> None:
    """Read half of the body, then reset the connection."""
    _invite(exchange)
    exchange.connection.read(int(exchange.request.headers.get("content-length", "0")) // 2)
    exchange.connection.reset()


def _stall_body(exchange: Exchange, rule: Rule) -> None:
    """Ask for the body and stop reading it."""
    _invite(exchange)
    exchange.connection.stall(rule.lasting(60.0))


def _black_hole(exchange: Exchange, rule: Rule) -> None:
    """Neither read nor answer."""
    exchange.connection.stall(rule.lasting(60.0))


def _invite(exchange: Exchange) -> None:
    if "100-continue" in exchange.request.headers.get("expect", "").lower():
        exchange.connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")


_BEFORE_BODY: dict[str, Callable[[Exchange, Rule], None]] = {
    "drop_before": _drop_before,
    "close_reused": _close_reused,
    "reset_mid_body": _reset_mid_body,
    "stall_body": _stall_body,
    "black_hole": _black_hole,
}

# -- instead of the operation, or after it ------------------------------------------------------------------


def _redirect(call: Call, rule: Rule, run: Run) -> Reply:
    """A redirect that a middlebox makes: to `value`, or to the same address for ever."""
    return Reply(int(rule.fault), [("Location", rule.value or call.request.target)])


def _html(call: Call, rule: Rule, run: Run) -> Reply:
    """A captive portal answers; nothing is stored."""
    return Reply(200, [("Content-Type", "text/html")], _HTML)


def _empty(call: Call, rule: Rule, run: Run) -> Reply:
    """A middlebox answers 200 with nothing; nothing is stored."""
    return Reply(200, [])


def _lost(call: Call, rule: Rule, run: Run) -> Reply:
    """The server lies: a right ETag, and nothing stored."""
    return Reply(200, [("ETag", f'"{call.payload.md5}"')])


def _500_after(call: Call, rule: Rule, run: Run) -> Reply:
    """The operation happens, the answer says it did not."""
    run(call)
    raise S3Error("InternalError")


def _without_etag(call: Call, rule: Rule, run: Run) -> Reply:
    reply = run(call)
    return reply._replace(headers=[pair for pair in reply.headers if pair[0].lower() != "etag"])


def _wrong_etag(call: Call, rule: Rule, run: Run) -> Reply:
    """The right bytes are stored, the answer's ETag is another body's."""
    reply = _without_etag(call, rule, run)
    return reply._replace(headers=[*reply.headers, ("ETag", '"00000000000000000000000000000bad"')])


def _corrupt_store(call: Call, rule: Rule, run: Run) -> Reply:
    """One bit is flipped on the way to the disk; the ETag is honestly that of what was stored."""
    body = bytearray(call.payload.body)
    if body:
        body[len(body) // 2] ^= 0x01
    payload = call.payload._replace(body=bytes(body), md5=hashlib.md5(body).hexdigest())
    return run(replace(call, payload=payload))


def _complete_200_error(call: Call, rule: Rule, run: Run) -> Reply:
    """Completing answers 200 and then an error in the body, as S3 documents; nothing is completed."""
    return Reply(
        200, [("Content-Type", "application/xml")], S3Error("InternalError").xml(call.request.path, "0")
    )


_INSTEAD: dict[str, Callable[[Call, Rule, Run], Reply]] = {
    "301": _redirect,
    "302": _redirect,
    "307": _redirect,
    "200_html": _html,
    "200_empty": _empty,
    "200_lost": _lost,
    "200_without_etag": _without_etag,
    "200_wrong_etag": _wrong_etag,
    "500_after_store": _500_after,
    "complete_200_error": _complete_200_error,
    "corrupt_store": _corrupt_store,
}

# -- listings that lie --------------------------------------------------------------------------------------


def _truncated(body: bytes) -> bytes:
    return re.sub(rb"<IsTruncated>\w+</IsTruncated>", b"<IsTruncated>true</IsTruncated>", body)


_NEXT = re.compile(rb"<NextContinuationToken>[^<]*</NextContinuationToken>")


def _same_token(body: bytes, call: Call) -> bytes:
    token = call.query.get("continuation-token", "")
    if not token:
        return body
    mark = b"<NextContinuationToken>" + token.encode() + b"</NextContinuationToken>"
    return _truncated(_NEXT.sub(b"", body)).replace(b"</IsTruncated>", b"</IsTruncated>" + mark, 1)


_LISTINGS: dict[str, Callable[[bytes, Call], bytes]] = {
    "list_empty": lambda body, call: b"",
    "list_truncated_xml": lambda body, call: body[: len(body) // 2],
    "list_no_token": lambda body, call: _NEXT.sub(b"", _truncated(body)),
    "list_no_key_count": lambda body, call: re.sub(rb"<KeyCount>\d*</KeyCount>", b"", body),
    "list_same_token": _same_token,
}

# -- on the way back ----------------------------------------------------------------------------------------


def _drop_after(exchange: Exchange, rule: Rule, data: bytes) -> bool:
    """The operation happened, the answer is lost."""
    return False


def _cut_answer(exchange: Exchange, rule: Rule, data: bytes) -> bool:
    exchange.connection.send(data[: len(data) // 2])
    return False


def _drip_answer(exchange: Exchange, rule: Rule, data: bytes) -> bool:
    return exchange.connection.drip(data, rule.lasting(0.2))


def _slow_answer(exchange: Exchange, rule: Rule, data: bytes) -> bool:
    if exchange.connection.stall(rule.lasting(1.0)):
        return False
    exchange.connection.send(data)
    return True


def _close_after(exchange: Exchange, rule: Rule, data: bytes) -> bool:
    """A good answer that promises to keep the connection, and then its end."""
    exchange.connection.send(data)
    return False


def _garbage_answer(exchange: Exchange, rule: Rule, data: bytes) -> bool:
    exchange.connection.send(b"\x15\x03\x01\x00\x02\x02\x0a no HTTP here\r\n\r\n")
    return False


_DELIVERIES: dict[str, Callable[[Exchange, Rule, bytes], bool]] = {
    "drop_after_store": _drop_after,
    "close_after": _close_after,
    "cut_answer": _cut_answer,
    "drip_answer": _drip_answer,
    "slow_answer": _slow_answer,
    "garbage_answer": _garbage_answer,
}

CORRUPT_BODY = "corrupt_body"
NAMES = frozenset({CORRUPT_BODY, *ERRORS}).union(_BEFORE_BODY, _INSTEAD, _LISTINGS, _DELIVERIES)
UNANSWERED = frozenset(_BEFORE_BODY) | {"drop_after_store", "garbage_answer"}


def on_the_way(rule: Rule | None, raw: bytes) -> bytes:
    """Return a body as it arrives: with one bit flipped by corrupt_body, before anything is checked."""
    if rule is None or rule.fault != CORRUPT_BODY or not raw:
        return raw
    body = bytearray(raw)
    body[len(body) // 2] ^= 0x01
    return bytes(body)


def before_body(exchange: Exchange) -> bool:
    """Let a fault strike before the body is read. True: it did, and the connection ends."""
    rule = exchange.rule
    if rule is None or rule.fault not in _BEFORE_BODY:
        return False
    if rule.fault == "close_reused" and exchange.connection.served == 1:
        return False
    _BEFORE_BODY[rule.fault](exchange, rule)
    return True


def around(exchange: Exchange, call: Call, run: Run) -> Reply:
    """Carry out the operation, or what the fault makes of it. Raises S3Error."""
    rule = exchange.rule
    if rule is None:
        return run(call)
    if rule.fault in ERRORS:
        error = S3Error(rule.fault)
        if rule.value:
            error.headers.append(("Retry-After", rule.value))
        raise error
    if rule.fault in _INSTEAD:
        return _INSTEAD[rule.fault](call, rule, run)
    reply = run(call)
    if rule.fault in _LISTINGS:
        reply = reply._replace(body=_LISTINGS[rule.fault](reply.body, call))
    return reply


def deliver(exchange: Exchange, data: bytes) -> bool:
    """Send the answer, or what the fault makes of it. False: the connection ends."""
    rule = exchange.rule
    if rule is not None and rule.fault in _DELIVERIES:
        return _DELIVERIES[rule.fault](exchange, rule, data)
    exchange.connection.send(data)
    return True
