"""The JSON API as a source of URLs: one request per page, rate-limited, with a total deadline and retries.

The token is a header of this session alone. No URL contains it, and neither log nor message shows a header, a
query, or more of a body than the start of one that is not JSON, with the token removed.
"""

from __future__ import annotations

import json
import logging
import time
from http import HTTPStatus
from typing import Callable
from urllib.parse import quote, urljoin, urlsplit

import requests

from cdn2s3.collection.api.page_request import ApiResponse, PageRequest
from cdn2s3.collection.api.pagination import Paging
from cdn2s3.collection.api.position import PagePosition
from cdn2s3.collection.base import Batch
from cdn2s3.errors import FatalError, TransientError
from cdn2s3.http.requests_adapter import PooledAdapter, new_session
from cdn2s3.resilience.rate_limit import TokenBucket
from cdn2s3.resilience.retry import FailedAttempt, RetryPolicy, retry_after, with_retries
from cdn2s3.settings.declarations import CollectionSettings
from cdn2s3.text import pluralize, redact

log = logging.getLogger(__name__)

STALE_PAGES = 100  # pages in a row with only known URLs that are always tolerated
_SHOWN = 80  # characters to show of a response that is not a page of URLs
_READ = 1 << 16  # bytes of it to read for them
_MAY_BE_THE_END = (204, 400, 404, 410, 416, 422)  # after good pages, with a total that is reached
_TRY_AGAIN = {408: "timeout", 425: "server_error", 429: "throttled", 503: "throttled"}  # besides 5xx


def api_session(settings: CollectionSettings) -> requests.Session:
    """Return the session that carries the token, for the API and nothing else."""
    session = new_session(PooledAdapter(1, settings.ca_bundle))
    session.headers["Accept"] = "application/json"
    if settings.api_auth_token:
        words = (settings.api_auth_scheme, settings.api_auth_token.reveal())
        session.headers[settings.api_auth_header] = " ".join(word for word in words if word)
    return session


class Api:
    """Get pages one at a time."""

    def __init__(
        self,
        settings: CollectionSettings,
        session: requests.Session,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._session = session
        self._token = settings.api_auth_token.reveal()
        self._timeout = settings.api_timeout
        self._end_status = frozenset(settings.api_end_status)
        self._policy = RetryPolicy(settings.max_retries)
        self._sleep = sleep
        self._bucket = TokenBucket(settings.api_rate_limit, sleep=sleep)

    def get(self, request: PageRequest, page: str) -> ApiResponse:
        """Return the API's response to request; page is its name in messages.

        A refusal that may be the end of the list is returned, too. Raise FatalError for any other, and when the
        API keeps failing.
        """

        def attempt() -> ApiResponse:
            self._bucket.take()
            log.debug("%s %s (%s)", request.method, redact(request.url), page)
            return self._attempt(request, page)

        def note(failed: FailedAttempt) -> None:
            if failed.wait is not None:
                log.warning(
                    "%s: %s. Attempt %d of %d; next attempt in %.1f s",
                    *(page, failed.error, failed.failures, self._policy.max_attempts, failed.wait),
                )

        try:
            return with_retries(attempt, self._policy, self._sleep, note)
        except TransientError as error:
            attempts = pluralize(self._policy.max_attempts, "attempt")
            raise FatalError(
                f"the API did not return {page} in {attempts}; the last error: {error}. "
                "Try again later, or correct API_BASE_URL or API_TIMEOUT."
            ) from error

    def _attempt(self, request: PageRequest, page: str) -> ApiResponse:
        url = request.url
        headers = {}
        if request.content_type and "content-type" not in self._session.headers:  # API_HEADERS wins
            headers["Content-Type"] = request.content_type
        try:
            answer = self._session.request(
                request.method,
                url,
                data=request.body,
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,
            )
            content = answer.content
        except (
            requests.RequestException,
            ValueError,
        ) as error:  # an invalid Location, a body that does not decode
            raise TransientError(
                "server_error", f"the response cannot be read ({type(error).__name__})"
            ) from error
        if answer.status_code != HTTPStatus.OK:
            refusal = _refusal(answer, url, page, self._token)
            status = answer.status_code
            if status in self._end_status or (isinstance(refusal, FatalError) and status in _MAY_BE_THE_END):
                return ApiResponse(url, None, answer.headers, status, FatalError(str(refusal)))
            raise refusal
        return ApiResponse(url, self._parsed(answer, content, url), answer.headers)

    def _parsed(self, answer: requests.Response, content: bytes, url: str) -> object:
        """Return the JSON of a response, or raise TransientError."""
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            kind = answer.headers.get("content-type", "no content type")[:60]
            raise TransientError(
                "server_error",
                f"the API answered 200, but not with JSON ({kind}, {len(content)} bytes from {redact(url)})"
                + _beginning(content, self._token),
            ) from error


class ApiSource:
    """The API as a source of URLs."""

    def __init__(self, settings: CollectionSettings, session: requests.Session) -> None:
        self._api = Api(settings, session)
        self._paging = Paging(settings)
        self.first = self._paging.first
        self.resume = self._paging.resume

    def read(self, position: PagePosition) -> Batch:
        """Return the page at position; raise FatalError when it cannot be read."""
        lost = self._paging.lost(position)
        if lost is not None:
            return lost
        reply = self._api.get(self._paging.request(position), str(position))
        return self._paging.read(reply, position)

    def check_circle(self, position: PagePosition, stale: int) -> None:
        """Raise FatalError when the last `stale` pages, with only known URLs, are a loop.

        An API may list everything two or three times, but not forever.
        """
        if stale > STALE_PAGES + position.pages * 3 // 4:
            raise FatalError(
                f"the last {stale} pages had only URLs that are already in the list: the API repeats itself in a "
                "loop. Correct API_PAGINATION and its settings, or ask the API's owner."
            )


def _refusal(answer: requests.Response, url: str, page: str, token: str) -> TransientError | FatalError:
    """Return what a response other than 200 means for the collection."""
    status = answer.status_code
    said = f"the API answered {status}{_phrase(status)}"
    if status in _TRY_AGAIN or status >= 500:
        asked = retry_after(answer.headers.get("retry-after"), time.time())
        return TransientError(_TRY_AGAIN.get(status, "server_error"), said, asked, status)
    words = (
        _one_line(answer.content, token) if status >= 400 else ""
    )  # the body of a redirect contains its address
    return FatalError(
        f"the API answered {status}{_phrase(status)} to {page} ({redact(url)}){_remedy(answer, url, bool(token))}"
        + (f" The API's response begins: {words}" if words else "")
    )


def _remedy(answer: requests.Response, url: str, has_token: bool) -> str:
    """Return what a refusal may mean and what to correct, as the end of a sentence."""
    status = answer.status_code
    if status in (401, 403) and not has_token:
        return (
            f": API_AUTH_TOKEN is empty, and the API {'wants' if status == 401 else 'may want'} a token. "
            "Set it (and API_AUTH_HEADER and API_AUTH_SCHEME for how it is sent)."
        )
    if status in (401, 403):
        return (
            ": it does not accept the token. Correct API_AUTH_TOKEN (and API_AUTH_HEADER and "
            "API_AUTH_SCHEME for how it is sent)."
        )
    if 300 <= status < 400:
        return (
            f", a redirect to {_origin_of_redirect(answer, url)}. Redirects are not followed, because "
            "the token would be sent along. Set API_BASE_URL to the final address."
        )
    return (
        f". Correct API_BASE_URL and the pagination settings. If the API answers {status} after its last page, set "
        f"API_END_STATUS={status}."
    )


def _origin_of_redirect(answer: requests.Response, url: str) -> str:
    """Return where a redirect leads, without the path and query, which may hold a secret."""
    try:
        parts = urlsplit(urljoin(url, answer.headers.get("location", "")))
        return f"{parts.scheme}://{parts.hostname}"
    except ValueError:
        return "an address that isn't a URL"


def _beginning(content: bytes, token: str) -> str:
    """Return how content, which is not JSON, begins, and what it may be; without the token, if it contains it."""
    text = _one_line(content, token)
    return f"{': a login page? It' if text.startswith('<') else ': it'} begins with {text}" if text else ""


def _one_line(content: bytes, token: str) -> str:
    """Return the beginning of content as one short line, without the token, if it contains it."""
    text = " ".join(content[:_READ].decode("utf-8", "replace").split())
    for secret in {token, quote(token, safe=""), quote(token)} - {""}:
        text = text.replace(secret, "***")
    text = redact(text)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _phrase(status: int) -> str:
    return f" {HTTPStatus(status).phrase}" if status in HTTPStatus._value2member_map_ else ""
