"""A small paged JSON API on 127.0.0.1, and the CDN's answer to HEAD; in threads of the test's own process."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, NamedTuple, Optional
from urllib.parse import parse_qs, urlsplit

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
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self._http.server_address[1]}"
        self.url = f"{self.origin}/images"
        self.prefix = f"{self.origin}/cdn/"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> ApiServer:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

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

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                answer = server.answer(query, {name.lower(): value for name, value in self.headers.items()})
                if answer.hang_up:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer.body)))
                for name, value in answer.headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

            def do_HEAD(self) -> None:
                server.heads.append({name.lower(): value for name, value in self.headers.items()})
                self.send_response(200)
                self.send_header("Content-Length", "390000")  # of the body that a GET would have
                if server.edge:
                    self.send_header("x-amz-cf-pop", server.edge)
                self.end_headers()

            def log_message(self, *unused: object) -> None:
                pass

        return Handler
