"""What a shape is, and the server that answers for one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Callable, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.fakes.wire import BadRequestError, Connection, Listener, Request, response

COUNT = 7  # images that most shapes have
FOLDER = "/cdn/"  # where the images lie; what URL_PREFIX of a recipe becomes


class Site(NamedTuple):
    """Where a shape is served."""

    origin: str  # of the API

    @property
    def cdn(self) -> str:
        """The folder of the images, with its slash."""
        return self.origin + FOLDER

    @property
    def host(self) -> str:
        return self.origin.partition("://")[2]

    def image(self, number: int) -> str:
        return f"{self.cdn}u/{number}.jpg"

    def images(self, numbers: Iterable[int]) -> list[str]:
        return [self.image(number) for number in numbers]


class Asked(NamedTuple):
    """One request, as a shape sees it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # lower-case names
    body: bytes
    site: Site
    state: dict[str, Any]  # of this server, from its first request on

    def whole(self, name: str, default: int) -> int:
        """Return a parameter that is a whole number."""
        return int(self.query.get(name, default))

    @property
    def url(self) -> str:
        """The URL that was asked for, without its query."""
        return self.site.origin + self.path

    def image(self, number: int) -> str:
        return self.site.image(number)


class Reply(NamedTuple):
    """An answer that is more than a JSON body with status 200."""

    status: int
    body: Any = None  # text as it is, anything else as JSON; None: no body
    headers: Mapping[str, str] = {}


Answer = Callable[[Asked], Any]  # a Reply, or what is sent as JSON


class Shape(NamedTuple):
    """One API or export."""

    name: str
    title: str
    answer: Answer
    expected: Callable[[Site], list[str]]  # the URLs that are there to be collected
    files: Callable[[Site], Mapping[str, str]]  # what lies on the disk, by its relative path


def _all_images(site: Site) -> list[str]:
    return site.images(range(COUNT))


def _no_files(site: Site) -> Mapping[str, str]:
    return {}


def registry() -> tuple[dict[str, Shape], Callable[..., Callable[[Answer], Answer]]]:
    """Return an empty table of shapes and the decorator that adds one to it by its name and docstring."""
    shapes: dict[str, Shape] = {}

    def shape(
        name: str,
        expected: Callable[[Site], list[str]] = _all_images,
        files: Callable[[Site], Mapping[str, str]] = _no_files,
    ) -> Callable[[Answer], Answer]:
        def keep(answer: Answer) -> Answer:
            title = (answer.__doc__ or name).strip().splitlines()[0]
            shapes[name] = Shape(name, title, answer, expected, files)
            return answer

        return keep

    return shapes, shape


def window(start: int, size: int, count: int = COUNT) -> range:
    """Return the numbers of `size` items from `start` on."""
    return range(max(0, min(start, count)), max(0, min(count, start + size)))


def page(number: int, size: int, count: int = COUNT) -> range:
    """Return the numbers of the items of page `number`, which counts from 1."""
    return window((number - 1) * size, size, count)


def pages(size: int, count: int = COUNT) -> int:
    """Return how many pages there are."""
    return -(-count // size)


def link(url: str) -> dict[str, str]:
    """Return the header that names the next page."""
    return {"Link": f'<{url}>; rel="next"'}


def only_if(condition: object, **fields: Any) -> dict[str, Any]:
    """Return fields where condition holds, else nothing: what an API leaves out."""
    return fields if condition else {}


class ShapeServer:
    """Answer for one shape, in threads of the test's own process."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._state: dict[str, Any] = {}
        self._lock = threading.Lock()
        self.requests: list[str] = []  # method and target of what the API was asked
        self._listener = Listener(self._serve)
        self.site = Site(f"http://127.0.0.1:{self._listener.port}")

    def __enter__(self) -> ShapeServer:
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.stop()

    def _serve(self, connection: Connection) -> None:
        while True:
            try:
                request = connection.read_request()
            except BadRequestError:
                return
            if request is None:
                return
            body = connection.read(int(request.headers.get("content-length", 0)))
            connection.send(self._rendered(request, body))
            if not request.keeps_alive:
                return

    def _rendered(self, request: Request, body: bytes) -> bytes:
        if request.path.startswith(FOLDER):  # for the region, or for a sample
            if unquote(request.path) not in self._images():
                return response(404, [("Content-Length", "0")], b"")
            head = [("Content-Type", "image/jpeg"), ("x-amz-cf-pop", "FRA56-P4")]
            return response(
                200,
                [*head, ("Content-Length", "4")],
                b"" if request.method == "HEAD" else b"\xff\xd8\xff\xd9",
            )
        with self._lock:
            self.requests.append(f"{request.method} {request.target}")
            reply = self._reply(request, body)
        content, headers = _encoded(reply)
        return response(reply.status, headers, content)

    def _images(self) -> set[str]:
        """Return the paths of the images that are there."""
        return {unquote(urlsplit(url).path) for url in self._shape.expected(self.site)}

    def _reply(self, request: Request, body: bytes) -> Reply:
        query = dict(parse_qsl(request.target.partition("?")[2], keep_blank_values=True))
        asked = Asked(request.method, request.path, query, request.headers, body, self.site, self._state)
        try:
            answer = self._shape.answer(asked)
        except (KeyError, ValueError, TypeError, IndexError) as error:  # what the real API would refuse
            return Reply(400, {"error": f"{type(error).__name__}: {error}"})
        return answer if isinstance(answer, Reply) else Reply(200, answer)


def _encoded(reply: Reply) -> tuple[bytes, list[tuple[str, str]]]:
    """Return a reply's body as bytes, and its headers."""
    headers = list(reply.headers.items())
    if reply.body is None:
        return b"", headers
    if isinstance(reply.body, str):
        return reply.body.encode(), headers
    named = any(name.lower() == "content-type" for name, _ in headers)
    return json.dumps(reply.body).encode(), headers + (
        [] if named else [("Content-Type", "application/json")]
    )
