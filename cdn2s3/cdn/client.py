"""The CDN client: request one file, and accept only a complete response with status 200."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple
from urllib.parse import urlsplit

from cdn2s3.cdn.redirects import Redirects
from cdn2s3.cdn.source_headers import WANTED, Pairs, rest_of_head
from cdn2s3.cdn.validators import NO_VALIDATORS, Validators
from cdn2s3.errors import FatalError, PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.pool import ConnectionPool, origin_of
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.http.response import Response
from cdn2s3.resilience.retry import retry_after
from cdn2s3.resilience.throttling import code_in, is_throttled

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_COMPLETE = frozenset({200})
_UNLESS_KNOWN = frozenset({200, 304})  # what is taken where the request has validators
_MOST_REDIRECTS = 5
_MOST_SERVERS = 32  # that redirects lead to and whose connections are kept
_NOT_FOUND = frozenset({404, 410})
_REFUSED = frozenset({400, 405, 451})
_MAY_PASS = frozenset({408, 421, 425})  # of the 4xx
_PROBE_SECONDS = 10.0
_SETS_COOKIE = "it sets a cookie and may wait for it, which SOURCE_HEADERS can hold"
# What else is to be said of a status.
_MEANINGS = {
    206: "a part of the file, although the whole was asked for",
    304: "not modified, although nothing was said to be known",
    401: "it asks for credentials, which SOURCE_HEADERS can hold",
    406: "it does not have what SOURCE_HEADERS accepts",
    511: "a network on the way asks for a login",
}


class Head(NamedTuple):
    """What the CDN says of one file without its body."""

    status: int | None  # None: no response
    size: int | None  # bytes, of a 200; None if unknown
    edge: str  # CloudFront's edge location (x-amz-cf-pop); "" if unknown
    why: str  # why there is no response, or what another status than 200 means; "" for a 200
    remedy: str = ""  # the edit that helps where every URL is answered so; "" if there is none
    media_type: str = ""  # what the CDN calls the body of a 200
    proxy: str = ""  # that may have given this answer itself; "" for none


class CdnClient:
    """Fetch files from one server under URL_PREFIX; shared by all workers.

    Nothing else is contacted but what redirects lead to, as far as redirects allows to follow them.
    """

    def __init__(
        self,
        url_prefix: str,
        adapter: PooledAdapter,
        stop: threading.Event,
        redirects: Redirects | None = None,
        headers: Pairs = (),
    ) -> None:
        """headers are those of SOURCE_HEADERS."""
        self.name = "source"
        self._adapter = adapter
        self._pool = adapter.pool(url_prefix)
        self._stop = stop
        self._redirects = redirects or Redirects("prefix", [url_prefix])
        self._headers = headers
        parts = urlsplit(url_prefix)
        self._base = f"{parts.scheme}://{parts.netloc}"
        self._path = parts.path
        self._rest_of_head = rest_of_head(self._pool.origin, headers)
        self._servers: dict[object, ConnectionPool] = {}  # others that redirects have led to
        self._worked: str | None = None  # a target that was received completely, for the probe
        self._worked_before: str | None = (
            None  # one that an earlier run received, until there is one of this run
        )

    def get(self, target: str, deadline: Deadline, known: Validators = NO_VALIDATORS) -> Response:
        """Request target (path and query) and return the response, its body unread; close it.

        Its status is 200, or 304 where the file is as known says. Raise PermanentError if another attempt would not
        help, else TransientError; Cancelled; FatalError.
        """
        conditions = known.lines()
        taken = _UNLESS_KNOWN if conditions else _COMPLETE
        answer = self._ask("GET", target, deadline, conditions)
        if answer.status in taken:
            return answer
        if answer.status in _REDIRECTS:
            answer = self._followed(answer, "GET", target, deadline, conditions)
            if answer.status in taken:
                return answer
        with answer:
            raise _refusal(answer, code_in(answer.drain()))

    def head(self, target: str, deadline: Deadline, by_get: bool = False) -> Head:
        """Return what the CDN says of target, by HEAD; where that tells nothing, by a GET closed after its head.

        Servers refuse HEAD, answer it otherwise than GET, or without a size. by_get: a GET alone, which a run makes,
        too. Raise Cancelled, or TransientError when deadline is over already.
        """
        if by_get:
            return self._look("GET", target, deadline)
        half = Deadline(deadline.remaining() / 2, deadline.stop)  # some servers never answer HEAD
        found = self._look("HEAD", target, half)
        if found.status == 200 and found.size:
            return found
        asked = self._look("GET", target, deadline)
        return found if asked.status is None else asked

    def _look(self, method: str, target: str, deadline: Deadline) -> Head:
        edge = ""
        try:
            answer = self._ask(method, target, deadline)
            edge = answer.headers.get("x-amz-cf-pop", "")
            if answer.status in _REDIRECTS:
                answer = self._followed(answer, method, target, deadline)
            with answer:
                return _head(answer)
        except TransientError as error:
            return Head(None, None, edge, error.message)
        except PermanentError as error:
            return Head(error.status, None, edge, error.message, error.remedy)
        except FatalError as error:  # an untrusted certificate: a result, not the end of a plan
            return Head(None, None, edge, str(error))

    def _ask(self, method: str, target: str, deadline: Deadline, conditions: bytes = b"") -> Response:
        head = f"{method} {target} HTTP/1.1\r\n".encode("ascii") + conditions + self._rest_of_head
        return self._pool.request(method, (head,), deadline)

    def _followed(
        self, answer: Response, method: str, target: str, deadline: Deadline, conditions: bytes = b""
    ) -> Response:
        """Return the first response after answer, a redirect, that is none; raise PermanentError if there is none.

        conditions go along: what is recorded is of the response that gave the body.
        """
        here = self._base + target
        for _ in range(_MOST_REDIRECTS):
            with answer:
                answer.drain()
                location = answer.headers.get("location", "")
                here = self._redirects.next_url(here, location, answer.status)
            answer = self._ask_anywhere(method, here, deadline, conditions)
            if answer.status not in _REDIRECTS:
                return answer
        with answer:
            said = f"the CDN answered {answer.status}, more than {_MOST_REDIRECTS} redirects"
            if "set-cookie" not in answer.headers:
                raise PermanentError("forbidden", said, doubtful=True, status=answer.status)
            remedy = "Put the cookie that it waits for into SOURCE_HEADERS"
            raise PermanentError("forbidden", f"{said}; {_SETS_COOKIE}", True, answer.status, remedy)

    def _ask_anywhere(self, method: str, url: str, deadline: Deadline, conditions: bytes) -> Response:
        """Request url, which a redirect leads to, with SOURCE_HEADERS where they may go."""
        if url.startswith(f"{self._base}/"):
            return self._ask(method, url[len(self._base) :], deadline, conditions)
        pool = self._pool_of(url)
        target = urlsplit(url)._replace(scheme="", netloc="", fragment="").geturl()
        headers = self._headers if self._redirects.carries_headers(url) else ()
        head = f"{method} {target or '/'} HTTP/1.1\r\n".encode("ascii") + conditions
        return pool.request(method, (head + rest_of_head(pool.origin, headers),), deadline)

    def _pool_of(self, url: str) -> ConnectionPool:
        origin = origin_of(url)
        known = self._servers.get(origin)
        if known is None and len(self._servers) < _MOST_SERVERS:
            known = self._servers[origin] = self._adapter.pool(url)
        return known or self._adapter.unpooled(url)

    def note_success(self, target: str) -> None:
        """Note that target has been received completely: the probe requests it."""
        self._worked = target

    def note_success_before(self, target: str) -> None:
        """Note that an earlier run has received target: the probe requests it while this run has received nothing."""
        self._worked_before = target

    def close(self) -> None:
        """Close the idle connections."""
        for pool in (self._pool, *self._servers.values()):
            pool.close()

    def probe(self) -> bool | None:
        """Return whether a file that could be fetched before can be fetched now.

        None if the server responds, but that shows nothing about its files: no file is known to work, or a file of
        an earlier run is refused, whose URL may have expired since.
        """
        target = self._worked or self._worked_before
        deadline = Deadline(_PROBE_SECONDS, self._stop)
        try:
            answer = self._ask("GET", target or self._path, deadline)
            if target is not None and answer.status in _REDIRECTS:
                answer = self._followed(answer, "GET", target, deadline)
            with answer:
                works = answer.status not in (403, 429) and answer.status < 500
        except PermanentError:  # it leads away now: a page for maintenance
            works = False
        except TransientError:
            return False
        if target is None or (not works and self._worked is None):
            return None
        return works


def _head(answer: Response) -> Head:
    """Return what a response that is no redirect says."""
    edge = answer.headers.get("x-amz-cf-pop", "")
    if answer.status != 200:
        return Head(answer.status, None, edge, _refusal(answer).message, proxy=answer.proxy)
    length = answer.headers.get("content-length", "")
    size = int(length) if length.isascii() and length.isdigit() and len(length) < 19 else None
    return Head(200, size, edge, "", media_type=answer.headers.get("content-type", ""))


def _refusal(answer: Response, code: str = "") -> PermanentError | TransientError:
    """Return what a response that is neither 200 nor a redirect means for its URL.

    code is that of an S3 error in its body, as of a bucket behind the CDN; "" if there is none.
    """
    status = answer.status
    meaning = _MEANINGS.get(status)
    if status in WANTED and "set-cookie" in answer.headers:
        meaning = _SETS_COOKIE
    if "cf-mitigated" in answer.headers:
        meaning = "Cloudflare wants a browser to pass a challenge"
    # Not every proxy shows that an error is its own. Of a file that is not there, it knows nothing.
    by = f"the CDN, or the proxy {answer.proxy} before it," if answer.proxy else "the CDN"
    said = f"{'the CDN' if status in _NOT_FOUND else by} answered {status}" + (
        f" ({meaning})" if meaning else ""
    )
    asked = retry_after(answer.headers.get("retry-after"), time.time())
    if is_throttled(status, code, asked):
        return TransientError("throttled", f"{said} {code}".rstrip(), asked, status, code)
    if status in _NOT_FOUND:
        return PermanentError("not_found", said, status=status)
    if status == 401:
        remedy = "Put the credentials that it asks for into SOURCE_HEADERS"
        return PermanentError("forbidden", said, doubtful=True, status=status, remedy=remedy)
    if status in _REFUSED:
        return PermanentError("forbidden", said, status=status)
    if status == 204:
        return PermanentError("empty", said, status=status)
    if 400 <= status < 500 and status not in _MAY_PASS:
        return PermanentError("forbidden", said, doubtful=True, status=status)
    return TransientError("server_error", said, status=status)
