"""A new CDN in front of a bucket of the local S3, with S3's reading of paths: a raw `+` is a blank.

`with Front(s3) as front: front.base`. Attributes switch its faults on; `front.asked` has each request.
"""

from __future__ import annotations

import hashlib
import ssl
from types import TracebackType
from typing import Callable
from urllib.parse import unquote_plus

from tests.fakes.s3 import S3Server
from tests.fakes.store import StoredObject
from tests.fakes.wire import Connection, Listener, Request, response

Headers = list[tuple[str, str]]


class Front:
    """A CDN with an origin access policy for one bucket. Its base ends in a slash."""

    def __init__(self, s3: S3Server, bucket: str = "bucket", tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Request] = []
        self.absent = 404  # status of a name that does not exist
        self.statuses: dict[str, int] = {}  # of single keys
        self.types: dict[str, str] = {}  # Content-Type of single keys
        self.bodies: dict[str, bytes] = {}  # what single keys have instead
        self.cut: set[str] = set()  # keys whose body ends in the middle
        self.short: set[str] = set()  # keys of which half is sent as if that was all
        self.converts: Callable[[Request], bool] = lambda request: False  # what is sent as WebP
        self.moved: dict[str, str] = {}  # key -> Location
        self.cors = "*"  # Access-Control-Allow-Origin; "" for none
        self.caches_without_origin = False  # True: a copy that was made without Origin lacks CORS for ever
        self.has_ranges = self.has_etags = self.takes_head = self.revalidates = True
        self.refuses: set[int] = set()  # numbers of the requests, from 1, that are answered with refusal
        self.refusal = 503
        self._s3 = s3
        self._bucket = bucket
        self._scheme = "http" if tls is None else "https"
        self.network = Listener(self._serve, tls)

    @property
    def base(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.network.port}/"

    def __enter__(self) -> Front:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.network.stop()

    def key_of(self, request: Request) -> str:
        """Return the key that a request's path means to S3."""
        return unquote_plus(request.path[1:])

    def body(self, key: str) -> bytes:
        """Return the bytes of an object of the bucket."""
        return self._s3.objects(self._bucket)[key].read()

    def _serve(self, connection: Connection) -> None:
        while (request := connection.read_request()) is not None:
            self.asked.append(request)
            answer, ends = self._answer(request)
            connection.send(answer)
            if ends:
                return

    def _answer(self, request: Request) -> tuple[bytes, bool]:
        """Return the bytes of the answer to request, and whether the connection ends with it."""
        key = self.key_of(request)
        if len(self.asked) in self.refuses:
            return response(self.refusal, [("Content-Length", "0")]), False
        if key in self.moved:
            return response(301, [("Location", self.moved[key])]), False
        found = self._s3.objects(self._bucket).get(key)
        if key in self.statuses or found is None:
            return self._error(request, self.statuses.get(key, self.absent)), False
        if request.method == "HEAD" and not self.takes_head:
            return response(405, []), False
        return self._object(request, key, found)

    def _error(self, request: Request, status: int) -> bytes:
        code = {403: "AccessDenied", 404: "NoSuchKey"}.get(status, "Other")
        body = b"" if request.method == "HEAD" else f"<Error><Code>{code}</Code></Error>".encode()
        return response(status, [("Content-Type", "application/xml")], body)

    def _object(self, request: Request, key: str, found: StoredObject) -> tuple[bytes, bool]:
        body = self.bodies.get(key) or found.read()
        media_type = self.types.get(key) or found.headers.get("content-type", "image/jpeg")
        if self.converts(request):
            body, media_type = b"RIFF\x04\0\0\0WEBP" + body[:100], "image/webp"
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        headers: Headers = [("Content-Type", media_type), ("X-Cache", "Hit from cloudfront"), ("Age", "17")]
        headers += [("ETag", etag)] if self.has_etags else []
        is_cached_bare = self.caches_without_origin and any(
            other.path == request.path and "origin" not in other.headers for other in self.asked
        )
        if self.cors and "origin" in request.headers and not is_cached_bare:
            headers.append(("Access-Control-Allow-Origin", self.cors))
        if self.revalidates and request.headers.get("if-none-match") == etag:
            return response(304, headers), False
        if self.has_ranges and request.headers.get("range") == "bytes=0-0":
            return response(206, [*headers, ("Content-Range", f"bytes 0-0/{len(body)}")], body[:1]), False
        if key in self.short:
            body = body[: len(body) // 2]
        headers.append(("Content-Length", str(len(body))))
        if request.method == "HEAD":
            return response(200, headers), False
        sent = body[: len(body) // 2] if key in self.cut else body
        return response(200, headers, sent), key in self.cut
