"""A small paged JSON API on 127.0.0.1, and the CDN's answer to HEAD; in threads of the test's own process."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple, Optional
from urllib.parse import parse_qs, urlsplit

from tests.fakes.wire import BadRequestError, Connection, Listener, Request, response

TOKEN = "s3cret-canary"


class Answer(NamedTuple):
    """What to answer in place of a page."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    hang_up: bool = False  # close the connection without a word


Fault = Callable[[int, "dict[str, str]"], Optional[Answer]]  # number of the request (from 1), its query


def page_of(items: Sequence[Any], query: dict[str, str]) -> tuple[list[Any], int]:
    """Return the items that query asks for, and where the ones after them begin."""
    size = int(query.get("per_page", "10"))
    given = query.get("offset", query.get("cursor", "0"))
    start = (int(query["page"]) - 1) * size if "page" in query else int(given)
    return list(items[start : start + size]), start + size


class ApiServer:
    """Serve items in all the ways to page at once; `fault` may answer instead."""

    def __init__(
        self, items: Sequence[Any], fault: Fault | None = None, edge: str | None = "SFO53-P1"
    ) -> None:
        self.items = items
        self.fault = fault
        self.edge = edge
        self.token = TOKEN
        self.queries: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.heads: list[dict[str, str]] = []
        self._lock = threading.Lock()
        self._listener = Listener(self._serve)
        self.origin = f"http://127.0.0.1:{self._listener.port}"
        self.url = f"{self.origin}/images"
        self.prefix = f"{self.origin}/cdn/"

    def __enter__(self) -> ApiServer:
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.stop()

    def answer(self, query: dict[str, str], headers: dict[str, str]) -> Answer:
        """Return the answer to a GET."""
        with self._lock:
            self.queries.append(query)
            self.headers.append(headers)
            number = len(self.queries)
        if self.token and headers.get("authorization") != f"Bearer {self.token}":
            return Answer(401, b'{"error": "no token"}')
        fault = self.fault(number, query) if self.fault else None
        if fault is not None:
            return fault
        items, following = page_of(self.items, query)
        more = following < len(self.items)
        size = query.get("per_page", "10")
        page = {
            "items": items,
            "total": len(self.items),
            "next_cursor": str(following) if more else None,
            "next": f"/images?cursor={following}&per_page={size}" if more else None,
        }
        link = f'<{self.url}?cursor={following}&per_page={size}>; rel="next", <{self.url}>; rel="first"'
        return Answer(200, json.dumps(page).encode(), (("Link", link),) if more else ())

    def _serve(self, connection: Connection) -> None:
        while self._next(connection):
            pass

    def _next(self, connection: Connection) -> bool:
        try:
            request = connection.read_request()
        except BadRequestError:  # a TLS handshake, say
            connection.send(response(400, [("Connection", "close")]))
            return False
        return request is not None and self._reply(connection, request)

    def _reply(self, connection: Connection, request: Request) -> bool:
        """Answer a request; return whether the connection goes on."""
        if request.method == "HEAD":
            self.heads.append(request.headers)
            edge = [("x-amz-cf-pop", self.edge)] if self.edge else []
            connection.send(
                response(200, [("Content-Length", "390000"), *edge])
            )  # of the body that a GET has
            return True
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.target).query).items()}
        answer = self.answer(query, request.headers)
        if not answer.hang_up:
            headers = [("Content-Type", "application/json"), *answer.headers]
            connection.send(response(answer.status, headers, answer.body))
        return not answer.hang_up and request.keeps_alive
