"""The new CDN: one request after the other, each read to its end, with the project's retries."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from hashlib import md5
from typing import Callable, NamedTuple
from urllib.parse import urlsplit

from cdn2s3.cdn.redirects import target_of
from cdn2s3.cdn.source_headers import Concealer, rest_of_head
from cdn2s3.errors import PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.pool import origin_of
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.http.response import Response
from cdn2s3.resilience.endpoint import Endpoint
from cdn2s3.resilience.retry import RetryPolicy, retry_after, unless_stopped, with_retries
from cdn2s3.resilience.throttling import Refusals, code_in, is_throttled

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_BLOCK = 1 << 18  # bytes of a body read at a time
_MAY_PASS = frozenset({408, 421, 425, 429, 500, 502, 503, 504})
_START = 1 << 14  # bytes of a body that are kept: an error page's code is in them

Pairs = Sequence[tuple[str, str]]


class Answer(NamedTuple):
    """A response, read to its end."""

    status: int
    headers: dict[str, str]  # names in lower case
    size: int  # bytes of the body
    md5: str  # of the body, 32 hex digits
    location: str = (
        ""  # where a redirect leads that was not followed, as an absolute URL; "" if it says nothing
    )
    code: str = ""  # S3's error code in the body, "" for none
    cut: str = ""  # how the body ended before its end, or that it has no end; "" for a whole one
    redirects: int = 0  # that were followed, all on one host

    def text(self) -> str:
        """Return the status, with what it says besides."""
        more = self.code or (f"to {self.location}" if self.location else "")
        return f"{self.status} {more}".rstrip()


class NewCdn:
    """Ask a CDN for files, as fast as it lets us; shared by all threads.

    It gets no SOURCE_HEADERS, which are for another server; NEW_CDN_HEADERS go to scheme, host and port of
    base alone.
    """

    def __init__(
        self,
        adapter: PooledAdapter,
        retry: RetryPolicy,
        timeout: float,
        stop: threading.Event,
        endpoint: Endpoint,
        base: str = "",
        own_headers: Pairs = (),
    ) -> None:
        """timeout is in seconds, for each attempt as a whole; endpoint finds the rate that the CDN allows."""
        self._adapter = adapter
        self._retry = retry
        self._timeout = timeout
        self._stop = stop
        self._endpoint = endpoint
        self._origin = origin_of(base) if base else None
        self._own_headers = tuple(own_headers)
        self._conceal = Concealer(self._own_headers)

    def ask(
        self, url: str, method: str = "GET", headers: Pairs = (), most: int | None = None, follow: bool = True
    ) -> Answer:
        """Return the answer to a request; redirects are followed on the same host, where follow says so.

        The body is read up to most bytes (None: all). An answer that may pass (5xx, 429), and a body that is cut,
        are asked for again; what the last attempt shows is returned. Raise TransientError when there is no
        response, Cancelled, FatalError for a certificate that is not trusted.
        """
        pairs, cut, endpoint = tuple(headers), Answer(0, {}, 0, ""), self._endpoint
        refusals = Refusals(endpoint.outage_limit)

        def attempt() -> Answer:
            nonlocal cut
            answer = (
                self._followed(url, method, pairs, most) if follow else self._once(url, method, pairs, most)
            )
            is_endless = most is not None and answer.size > most
            if answer.status in _MAY_PASS or (answer.cut and not is_endless):
                cut = answer
                wait = retry_after(answer.headers.get("retry-after"), time.time())
                cause = "throttled" if is_throttled(answer.status, answer.code, wait) else "server_error"
                raise TransientError(cause, answer.text(), wait, answer.status)
            return answer

        def excuse(error: TransientError) -> float | None:
            """Let a URL wait where the CDN throttles: that is no failure of it."""
            if error.cause != "throttled":
                return None
            return refusals.wait(endpoint.name, error, endpoint.newest_attempt, endpoint.newest_success)

        try:
            return with_retries(
                lambda: self._permitted(attempt), self._retry, unless_stopped(self._stop), excuse=excuse
            )
        except (TransientError, PermanentError) as error:
            if error.status is None:
                raise
            return cut

    def _permitted(self, attempt: Callable[[], Answer]) -> Answer:
        """Make an attempt when the CDN's rate allows it; only throttling changes that rate."""
        permit = self._endpoint.acquire()
        try:
            answer = attempt()
        except TransientError as error:
            if error.cause == "throttled":
                self._endpoint.failed(permit, error)
            else:
                self._endpoint.release(permit)
            raise
        except BaseException:
            self._endpoint.release(permit)
            raise
        self._endpoint.succeeded(permit)
        return answer

    def _followed(self, url: str, method: str, headers: Pairs, most: int | None) -> Answer:
        answer, redirects = self._once(url, method, headers, most), 0
        while redirects < _MOST_REDIRECTS and _stays(url, answer.location):
            url, redirects = answer.location, redirects + 1
            answer = self._once(url, method, headers, most)
        return answer._replace(redirects=redirects)

    def _once(self, url: str, method: str, headers: Pairs, most: int | None) -> Answer:
        pool = self._adapter.pool(url)
        parts = urlsplit(url)
        target = url[url.index(parts.netloc) + len(parts.netloc) :] or "/"
        pairs = (*headers, *(self._own_headers if pool.origin == self._origin else ()))
        head = f"{method} {target} HTTP/1.1\r\n".encode("ascii") + rest_of_head(pool.origin, pairs)
        with pool.request(method, (head,), Deadline(self._timeout, self._stop)) as answer:
            location = (
                target_of(url, answer.headers.get("location", "")) if answer.status in _REDIRECTS else ""
            )
            return self._concealed(_read(answer, location, most))

    def _concealed(self, answer: Answer) -> Answer:
        """Return answer without the secrets of NEW_CDN_HEADERS, which a CDN may repeat."""
        if not self._own_headers:
            return answer
        headers = {name: self._conceal(value) for name, value in answer.headers.items()}
        return answer._replace(headers=headers, code=self._conceal(answer.code))


def _read(answer: Response, location: str, most: int | None) -> Answer:
    """Return answer with what there is of its body; raise TransientError where its time is over."""
    digest, size, cut, start = md5(usedforsecurity=False), 0, "", b""
    room = memoryview(bytearray(_BLOCK))
    try:
        while got := answer.read_into(room):
            digest.update(room[:got])
            start = start or bytes(room[: min(got, _START)])
            size += got
            if most is not None and size > most:
                cut = f"more than {most:,} bytes"
                break
    except TransientError as error:
        if error.cause not in ("truncated", "connection"):
            raise
        cut = f"{size:,} bytes, then {error.message}"
    code = code_in(start) if answer.status >= 400 else ""
    return Answer(answer.status, answer.headers, size, digest.hexdigest(), location, code, cut)


def _stays(here: str, there: str) -> bool:
    """Return whether a redirect stays on its host, and does not go from https to http."""
    if not there:
        return False
    before, after = origin_of(here), origin_of(there)
    return before.host == after.host and (before.scheme, after.scheme) != ("https", "http")
