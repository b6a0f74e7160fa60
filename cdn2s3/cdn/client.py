"""The CDN client: request one file, and accept only a complete response with status 200."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from cdn2s3.errors import FatalError, PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.pool import ConnectionPool, host_header, request_head
from cdn2s3.http.requests_adapter import USER_AGENT, PooledAdapter
from cdn2s3.http.response import Response
from cdn2s3.keys import Address
from cdn2s3.resilience.fan_out import fan_out
from cdn2s3.resilience.retry import retry_after
from cdn2s3.resilience.throttling import code_in, is_throttled
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.url_prefixes import Prefixes

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_NOT_FOUND = frozenset({404, 410})
_REFUSED = frozenset({400, 401, 403, 405, 451})
_PROBE_SECONDS = 10.0


class CdnClient:
    """Fetch files from one server under URL_PREFIX; shared by all workers.

    Nothing else is ever contacted: the server is that of url_prefix, and a redirect is followed only to a URL
    that starts exactly with url_prefix or one of others, prefixes on the same server.
    """

    def __init__(
        self, url_prefix: str, adapter: PooledAdapter, stop: threading.Event, others: Sequence[str] = ()
    ) -> None:
        self.name = "source"
        self._prefixes = (url_prefix, *others)
        self._pool = adapter.pool(url_prefix)
        self._stop = stop
        parts = urlsplit(url_prefix)
        self._base = f"{parts.scheme}://{parts.netloc}"
        self._path = parts.path
        self._headers = {
            "Host": host_header(self._pool.origin),
            "User-Agent": USER_AGENT,
            "Accept": "image/*,*/*;q=0.5",
            "Accept-Encoding": "identity",
        }
        self._rest_of_head = request_head("", "", self._headers).split(b"\r\n", 1)[1]
        self._worked: str | None = None  # a target that was received completely, for the probe
        self._worked_before: str | None = (
            None  # one that an earlier run received, until there is one of this run
        )

    def get(self, target: str, deadline: Deadline) -> Response:
        """Request target (path and query) and return the response, its body unread; close it.

        Raise PermanentError if another attempt would not help, else TransientError; Cancelled; FatalError.
        """
        asked = target
        for _ in range(_MOST_REDIRECTS + 1):
            answer = self._ask(asked, deadline)
            if answer.status == 200:
                return answer
            with answer:
                body = answer.drain()
                if answer.status not in _REDIRECTS:
                    raise _refusal(answer, code_in(body))
                asked = self._redirected(asked, answer.headers.get("location", ""))
        raise PermanentError("forbidden", f"more than {_MOST_REDIRECTS} redirects")

    def _ask(self, target: str, deadline: Deadline) -> Response:
        head = b"GET " + target.encode("ascii") + b" HTTP/1.1\r\n" + self._rest_of_head
        return self._pool.request("GET", (head,), deadline)

    def _redirected(self, target: str, location: str) -> str:
        """Return the target that a redirect leads to; raise PermanentError if it leaves URL_PREFIX."""
        if location.isascii() and location.isprintable() and location and " " not in location:
            url = urljoin(self._base + target, location).partition("#")[0]
            if url.startswith(self._prefixes) and ".." not in url.split("?")[0].split("/"):
                return url[len(self._base) :]
        raise PermanentError("forbidden", "a redirect to a URL outside URL_PREFIX", doubtful=True)

    def note_success(self, target: str) -> None:
        """Note that target has been received completely: the probe requests it."""
        self._worked = target

    def note_success_before(self, target: str) -> None:
        """Note that an earlier run has received target: the probe requests it while this run has received nothing."""
        self._worked_before = target

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.close()

    def probe(self) -> bool | None:
        """Return whether a file that could be fetched before can be fetched now.

        None if the server responds, but that shows nothing about its files: no file is known to work, or a file of
        an earlier run is refused, whose URL may have expired since.
        """
        target = self._worked or self._worked_before
        try:
            with self._ask(target or self._path, Deadline(_PROBE_SECONDS, self._stop)) as answer:
                works = answer.status not in (403, 429) and answer.status < 500
        except TransientError:
            return False
        if target is None or (not works and self._worked is None):
            return None
        return works


def _refusal(answer: Response, code: str) -> PermanentError | TransientError:
    """Return what a response that is neither 200 nor a redirect means for its URL.

    code is that of an S3 error in its body, as of a bucket behind the CDN; "" if there is none.
    """
    status = answer.status
    said = f"the CDN answered {status}"
    asked = retry_after(answer.headers.get("retry-after"), time.time())
    if is_throttled(status, code, asked):
        return TransientError("throttled", f"{said} {code}".rstrip(), asked, status, code)
    if status in _NOT_FOUND:
        return PermanentError("not_found", said, status=status)
    if status in _REFUSED:
        return PermanentError("forbidden", said, doubtful=status == 403, status=status)
    if status == 204:
        return PermanentError("empty", said, status=status)
    return TransientError("server_error", said, status=status)


_WORKERS = 16
_SECONDS_EACH = 5.0


class Head(NamedTuple):
    """The result of a HEAD request for one file."""

    status: int | None  # None: no response
    size: int | None  # bytes, of a 200; None if unknown
    edge: str  # CloudFront's edge location (x-amz-cf-pop); "" if unknown
    why: str  # why there is no response; "" if there is one


def heads(settings: MigrationSettings, addresses: Sequence[Address], seconds: float) -> list[Head]:
    """Request the head of each of addresses within seconds in total; results in order."""
    adapter = PooledAdapter(_WORKERS, settings.ca_bundle)
    pools = [adapter.pool(origin) for origin in Prefixes(settings.url_prefix).origins]
    stop = threading.Event()
    whole = Deadline(seconds, stop)

    def ask(number: int) -> tuple[int, Head]:
        address = addresses[number]
        return number, _head(pools[address.source], address.target, whole)

    try:
        with fan_out(ask, range(len(addresses)), _WORKERS, stop) as answers:
            return [head for _, head in sorted(answers)]
    finally:
        adapter.close()


def _head(pool: ConnectionPool, target: str, whole: Deadline) -> Head:
    headers = {"Host": host_header(pool.origin), "User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    try:
        deadline = Deadline(min(_SECONDS_EACH, whole.remaining()), whole.stop)
        with pool.request("HEAD", (request_head("HEAD", target, headers),), deadline) as answer:
            length = answer.headers.get("content-length", "")
            known = answer.status == 200 and length.isascii() and length.isdigit()
            edge = answer.headers.get("x-amz-cf-pop", "")
            return Head(answer.status, int(length) if known else None, edge, "")
    except TransientError as error:
        return Head(None, None, "", error.message)
    except FatalError as error:  # an untrusted certificate: a result, not the end of a plan
        return Head(None, None, "", str(error))
