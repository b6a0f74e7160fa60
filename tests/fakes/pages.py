"""A server of fixed pages on 127.0.0.1, such as sitemaps; in threads of the test's own process."""

from __future__ import annotations

from typing import Callable, Union

from tests.fakes.api import Answer
from tests.fakes.wire import Connection, Listener, Request, response

Page = Union[bytes, Answer, Callable[[Request], Answer]]


class PageServer:
    """Serve `pages` by their paths, 404 for others; `requests` are those that came."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.requests: list[Request] = []
        self._listener = Listener(self._serve)
        self.origin = f"http://127.0.0.1:{self._listener.port}"

    def __enter__(self) -> PageServer:
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.stop()

    def _serve(self, connection: Connection) -> None:
        while (request := connection.read_request()) is not None:
            self.requests.append(request)
            page = self.pages.get(request.path, Answer(404))
            if callable(page):
                page = page(request)
            answer = page if isinstance(page, Answer) else Answer(200, page)
            if answer.hang_up:
                return
            connection.send(response(answer.status, list(answer.headers), answer.body))
