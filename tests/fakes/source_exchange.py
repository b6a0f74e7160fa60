"""A request to the CDN that a fault strikes: what every fault gets to work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tests.fakes.rules import Rule
from tests.fakes.wire import Connection, Request, response


class Origin(Protocol):
    """What a fault needs to know of the server."""

    prefix: str

    def body(self, url: str) -> bytes:
        """Return the good bytes of a target."""

    def headers(self, target: str, body: bytes) -> list[tuple[str, str]]:
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
        good = self.origin.headers(self.request.target, self.body())
        kept = [pair for pair in good if pair[0] not in drop]
        return response(status, [*kept, *extra, ("Content-Length", "*")]).replace(
            b"Content-Length: *\r\n", b""
        )

    def send(self, head: bytes, *body: bytes) -> None:
        """Send an answer; to HEAD only its head."""
        if self.request.method == "HEAD":
            head, body = head[: head.index(b"\r\n\r\n") + 4], ()
        self.connection.send(head, *body)
