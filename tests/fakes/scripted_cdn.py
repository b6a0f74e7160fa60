"""A CDN that answers as a function says: `with ScriptedCdn(lambda request: response(404)) as cdn: cdn.url_prefix`."""

from __future__ import annotations

import ssl
from types import TracebackType
from typing import Callable

from tests.fakes.wire import BadRequestError, Connection, Listener, Request


class ScriptedCdn:
    """Give each request the bytes that `answer` returns; b"" closes the connection without an answer."""

    def __init__(self, answer: Callable[[Request], bytes], tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.log: list[Request] = []
        self._scheme = "http" if tls is None else "https"
        self.network = Listener(self._serve, tls)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.network.port}"

    @property
    def url_prefix(self) -> str:
        return f"{self.url}/images/"

    def _serve(self, connection: Connection) -> None:
        while True:
            try:
                request = connection.read_request()
            except BadRequestError:
                return
            if request is None:
                return
            self.log.append(request)
            said = self.answer(request)
            if not said:
                return
            connection.send(said)
            if not request.keeps_alive or b"\r\nConnection: close" in said:
                return

    def __enter__(self) -> ScriptedCdn:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.network.stop()
