"""A CDN on raw sockets: `with SourceServer() as source: source.url_of("a/b.jpg")`.

Every path under the prefix is an image whose bytes follow from the path alone (`source.body`), unless a fault
strikes: chosen by rules (`source.rules.add(Rule("short_body", pattern="i01"))`) or by the path itself, with a
segment `fault-NAME` (always) or `fault-NAME.2` (the first two requests of that path). A segment `size-N` sets
the size.
"""

from __future__ import annotations

import re
import ssl
import threading
import zlib
from collections import Counter, deque
from types import TracebackType
from typing import Callable, NamedTuple
from urllib.parse import quote

from tests.fakes import source_faults
from tests.fakes.images import body_for, canonical
from tests.fakes.rules import Rule, RuleBook
from tests.fakes.site import Site
from tests.fakes.source_exchange import Exchange
from tests.fakes.wire import BadRequestError, Connection, Listener, Request, response

_FAULT = re.compile(r"/fault-([a-z0-9_]+)(?:\.(\d+))?(?=/)")
_SIZE = re.compile(r"/size-(\d+)(?=/)")
_MOVED = "moved/"  # what the good redirect puts after the prefix


class Entry(NamedTuple):
    """One request, for assertions on the wire."""

    method: str
    target: str  # path and query as on the wire
    headers: dict[str, str]  # lower-case names
    connection: int  # number of the connection, from 1
    fault: str  # the fault that struck, or empty


class SourceServer:
    """A CDN in threads of this process. Bodies are `sizes(target)` bytes long, by default 8 to 32 KB."""

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        prefix: str = "/images/",
        sizes: Callable[[str], int] | None = None,
        seed: int = 0,
        latency: float = 0.0,
    ) -> None:
        self.prefix = prefix  # the path that URL_PREFIX ends with; only below it are images
        self.latency = latency  # seconds before every answer
        self.rules = RuleBook(source_faults.NAMES, seed)
        self.site = Site()
        self.requests: Counter[str] = Counter()  # path and query as on the wire -> requests
        self.bodies: Counter[str] = Counter()  # the same -> whole good bodies sent
        self.log: deque[Entry] = deque(maxlen=100_000)
        self._sizes = sizes or _size_by_name
        self._scheme = "http" if tls is None else "https"
        self._lock = threading.Lock()
        self.network = Listener(self._serve, tls)

    # -- for tests -----------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        return f"{self._scheme}://127.0.0.1:{self.network.port}"

    @property
    def url_prefix(self) -> str:
        """What URL_PREFIX is set to; ends in a slash."""
        return self.url + self.prefix

    def url_of(self, name: str, fault: str = "", size: int | None = None) -> str:
        """Return the URL of an image below the prefix; `fault` is NAME or NAME.TIMES."""
        parts = [f"fault-{fault}/"] if fault else []
        parts += [] if size is None else [f"size-{size}/"]
        return self.url_prefix + "".join(parts) + quote(name, safe="/%?=&~")

    def body(self, url: str) -> bytes:
        """Return the good bytes of a URL of this server (or of a target of it)."""
        target = url[len(self.url) :] if url.startswith(self.url) else url
        target = target.partition("#")[0].replace(self.prefix + _MOVED, self.prefix, 1)
        named = _SIZE.search(target)
        first = body_for(target, int(named.group(1)) if named else self._sizes(target))
        return self.site.body(target, first)

    def change(self, url: str, body: bytes | None = None) -> bytes:
        """Let an image have other bytes from now on (new ones unless they are given), and return them."""
        return self.site.change(url[len(self.url) :], body)

    def __enter__(self) -> SourceServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop all threads and free the port. Raises what a handler raised by mistake."""
        self.network.stop()

    # -- one connection ------------------------------------------------------------------------------------

    def _serve(self, connection: Connection) -> None:
        while self._next(connection):
            pass

    def _next(self, connection: Connection) -> bool:
        try:
            request = connection.read_request()
        except BadRequestError:
            connection.send(response(400, [("Connection", "close")]))
            return False
        return request is not None and self._one(connection, request)

    def _one(self, connection: Connection, request: Request) -> bool:
        """Answer one request; False = the connection ends."""
        rule = self._strike(request)
        with self._lock:
            self.requests[request.target] += 1
            fault = rule.fault if rule is not None else ""
            self.log.append(Entry(request.method, request.target, request.headers, connection.number, fault))
        if self.latency:
            connection.stall(self.latency)
        if rule is not None:
            exchange = Exchange(connection, request, rule, self)
            return source_faults.strike(exchange) and request.keeps_alive
        if request.method not in ("GET", "HEAD"):
            connection.send(response(405, [("Allow", "GET, HEAD")]))
            return False
        connection.send(self.answer(request))
        return request.keeps_alive

    def _strike(self, request: Request) -> Rule | None:
        named = _FAULT.search(request.path)
        if named is not None:
            times = named.group(2)
            if times is None or self.requests[request.target] < int(times):
                rule = Rule(named.group(1))
                self.rules.struck[rule.fault] += 1
                return rule
        return self.rules.pick(request.method, request.target)

    def answer(self, request: Request) -> bytes:
        """Return the good answer to a request, as bytes on the wire."""
        if not request.path.startswith(self.prefix):
            return response(200, [("Content-Type", "text/html")], source_faults.LOGIN)
        body = self.body(request.target)
        headers = self.headers(request.target, body)
        known = self.site.not_modified(request, headers)
        if known is not None:
            return known
        head = response(200, headers)
        if request.method == "HEAD":
            return head
        with self._lock:
            self.bodies[request.target] += 1
        return head + body

    def headers(self, target: str, body: bytes) -> list[tuple[str, str]]:
        """Return the headers of a good answer, Content-Length among them."""
        return [
            ("Content-Type", "image/jpeg"),
            ("Content-Length", str(len(body))),
            *self.site.headers(target, body),
            ("Accept-Ranges", "bytes"),
            ("Server", "AmazonS3"),
            ("X-Cache", "Hit from cloudfront"),
            ("X-Amz-Cf-Pop", "SEA19-C2"),
        ]


def _size_by_name(target: str) -> int:
    return 8_000 + zlib.crc32(canonical(target).encode("utf-8", "surrogateescape")) % 24_000
