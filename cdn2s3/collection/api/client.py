"""The client of the API: one request per page, rate-limited, with a total deadline, retries, and quotas waited out.

Secrets are added here, to the request itself (auth.py). Neither log nor message shows a header, a query, or more of a
body than the start of one that is not a page, with the secrets removed.
"""

from __future__ import annotations

import logging
import re
import time
from datetime import datetime, timezone
from http import HTTPStatus
from typing import Callable

import requests

from cdn2s3.collection.api import quota
from cdn2s3.collection.api.auth import Auth
from cdn2s3.collection.api.json_body import json_of
from cdn2s3.collection.api.page_request import ApiResponse, PageRequest
from cdn2s3.collection.api.refusal import beginning, named, one_line, refusal
from cdn2s3.errors import FatalError, MigrationError, TransientError
from cdn2s3.http.requests_adapter import PooledAdapter, new_session
from cdn2s3.resilience.rate_limit import TokenBucket
from cdn2s3.resilience.retry import FailedAttempt, RetryPolicy, backoff, with_retries
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.text import duration, pluralize, redact

log = logging.getLogger(__name__)

_MAY_BE_EXPIRY = frozenset({400, 403, 419, 440, 498})  # besides 401, where the body or a header says so
_EXPIRED = re.compile(
    r"expired|(invalid|stale|revoked).{0,20}token|token.{0,30}(invalid|stale|revoked)", re.IGNORECASE
)

_GOOD = frozenset({200, 201, 203, 206})  # 206: PostgREST's page of a range; 201: a search that is a POST
_MAY_BE_THE_END = frozenset({204, 400, 404, 410, 416, 422})  # after good pages, with a total that is reached
_READ = 1 << 16  # bytes of a refusal to look at
_WORTH_A_TIME = 10.0  # seconds of a wait from which on its end is said
_OF_GRAPHQL = frozenset({"data", "errors", "extensions"})  # the names in its responses


class Throttled(MigrationError):
    """The API refuses a request because there were too many; `wait` is in seconds, None if it does not say."""

    def __init__(self, said: str, wait: float | None) -> None:
        super().__init__(said)
        self.wait = wait


def api_session(settings: CollectionSettings) -> requests.Session:
    """Return the session for the API and nothing else: it puts the credentials and API_HEADERS on each request.

    Raise FatalError when API_TOKEN_COMMAND gives no token.
    """
    session = new_session(PooledAdapter(1, settings.ca_bundle))
    session.headers["Accept"] = "application/json"
    session.headers.update(settings.api_headers.pairs)
    session.auth = Auth(settings)
    return session


class Api:
    """Get pages one at a time."""

    def __init__(
        self,
        settings: CollectionSettings,
        session: requests.Session,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """session is one by api_session."""
        assert isinstance(session.auth, Auth)
        self.auth = session.auth
        self._session = session
        self._timeout = settings.api_timeout
        self._end_status = frozenset(settings.api_end_status)
        self._policy = RetryPolicy(settings.max_retries)
        self._wait_limit = settings.api_wait_limit
        self._sleep = sleep
        self._bucket = TokenBucket(settings.api_rate_limit, sleep=sleep)

    def get(self, request: PageRequest, page: str) -> ApiResponse:
        """Return the API's response to request; page is its name in messages.

        A refusal that may be the end of the list is returned, too; of a page that may be missing, so is any other
        answer that is none. Raise FatalError for the rest, and when the API keeps failing or has no quota left for
        longer than API_WAIT_LIMIT.
        """
        waited = 0.0  # for the quota
        times = 0
        while True:
            try:
                return self._get(request, page)
            except Throttled as throttled:
                times += 1
                waited += self._wait_out(throttled, page, times, waited)

    def _get(self, request: PageRequest, page: str) -> ApiResponse:
        has_renewed = False

        def attempt() -> ApiResponse:
            nonlocal has_renewed
            self._bucket.take()
            log.debug("%s %s (%s)", request.method, redact(request.url), page)
            answer = self._answer(request)
            if not has_renewed and self._has_expired(answer):
                has_renewed = True
                log.info(
                    "%s: the API answered %s; running API_TOKEN_COMMAND again",
                    page,
                    named(answer.status_code),
                )
                if self.auth.renew():
                    self._bucket.take()
                    answer = self._answer(request)
            return self._read(answer, request, page)

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
            failed = FatalError(
                f"the API did not return {page} in {attempts}; the last error: {error}. "
                "Try again later, or correct API_BASE_URL or API_TIMEOUT."
            )
            if request.may_be_missing and error.status is not None:
                return ApiResponse(request.url, None, {}, error.status, failed)
            raise failed from error

    def _answer(self, request: PageRequest) -> requests.Response:
        """Return the API's answer with its whole body; raise TransientError when it cannot be read."""
        headers = {}
        if request.content_type and "content-type" not in self._session.headers:  # API_HEADERS wins
            headers["Content-Type"] = request.content_type
        try:
            answer = self._session.request(
                request.method,
                request.url,
                data=request.body,
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,
            )
            answer.content  # noqa: B018  # read and decode it here
        except (
            requests.RequestException,
            ValueError,
        ) as error:  # an invalid Location, a body that does not decode
            raise TransientError(
                "server_error", f"the response cannot be read ({type(error).__name__})"
            ) from error
        return answer

    def _has_expired(self, answer: requests.Response) -> bool:
        """Return whether a refusal looks as if the token were no longer valid, and there may be another."""
        status = answer.status_code
        if not self.auth.is_renewable or status in _GOOD:
            return False
        if status == HTTPStatus.UNAUTHORIZED:
            return True
        said = f"{answer.headers.get('www-authenticate', '')} {answer.content[:_READ].decode('utf-8', 'replace')}"
        return status in _MAY_BE_EXPIRY and bool(_EXPIRED.search(said))

    def _read(self, answer: requests.Response, request: PageRequest, page: str) -> ApiResponse:
        """Return an answer as a page; raise Throttled, TransientError or FatalError for one that is none."""
        status, url = answer.status_code, request.url
        if status not in _GOOD:
            is_end = status in self._end_status
            if not is_end and quota.is_throttled(status, answer.headers, answer.content):
                wait = quota.opens_in(answer.headers, time.time())
                raise Throttled(f"the API answered {named(status)}", wait)
            refused = refusal(answer, url, page, self.auth)
            is_about_the_page = status in _MAY_BE_THE_END or (
                request.may_be_missing and status != HTTPStatus.UNAUTHORIZED
            )
            if not is_end and (isinstance(refused, TransientError) or not is_about_the_page):
                raise refused
            return ApiResponse(url, None, answer.headers, status, FatalError(str(refused)))
        content = self._parsed(answer, url)
        self._check_errors(content, answer)
        return ApiResponse(url, content, answer.headers)

    def _check_errors(self, content: object, answer: requests.Response) -> None:
        """Raise Throttled or TransientError where a 200 says that the request failed, as GraphQL does."""
        if quota.throttled_in(content):
            wait = quota.opens_in(answer.headers, time.time())
            raise Throttled(
                "the API answered 200, but throttled the request",
                quota.graphql_wait(content) if wait is None else wait,
            )
        errors = quota.errors_in(content)
        if errors and isinstance(content, dict) and set(content) <= _OF_GRAPHQL and not content.get("data"):
            words = one_line(quota.words_of(errors[0]).encode(), self.auth)
            said = f"the API answered 200, but with errors: {words}"
            raise TransientError("server_error", said, status=answer.status_code)

    def _parsed(self, answer: requests.Response, url: str) -> object:
        """Return the JSON of a response, or raise TransientError."""
        content = answer.content
        try:
            return json_of(answer)
        except (ValueError, RecursionError) as error:
            kind = answer.headers.get("content-type", "no content type")[:60]
            raise TransientError(
                "server_error",
                f"the API answered {answer.status_code}, but not with JSON "
                f"({kind}, {len(content)} bytes from {redact(url)})" + beginning(content, self.auth),
                status=answer.status_code,
            ) from error

    def _wait_out(self, throttled: Throttled, page: str, times: int, waited: float) -> float:
        """Wait until the API takes requests again; return the seconds.

        Raise FatalError when that is later than API_WAIT_LIMIT, and the API means it: a few attempts before it are
        made all the same.
        """
        least = backoff(times)
        wait = least if throttled.wait is None else max(least, throttled.wait)
        if waited + wait > self._wait_limit:
            if times > self._policy.max_retries:
                raise FatalError(self._too_long(throttled, page, waited))
            wait = least
        if wait >= _WORTH_A_TIME:
            log.warning(
                "%s: %s: the quota is used up. Waiting until %s (%s)",
                *(page, throttled, _clock(wait), duration(wait)),
            )
        else:
            log.warning("%s: %s. Next attempt in %.1f s", page, throttled, wait)
        self._sleep(wait)
        return wait

    def _too_long(self, throttled: Throttled, page: str, waited: float) -> str:
        limit = f"API_WAIT_LIMIT={self._wait_limit:.0f}"
        if throttled.wait is None:
            return (
                f"{throttled} to {page} for {duration(waited)}, and does not say until when. {limit} is as long as a "
                "quota is waited out. Resume later, lower API_RATE_LIMIT, or raise API_WAIT_LIMIT."
            )
        return (
            f"{throttled} to {page}: the quota is used up until {_clock(throttled.wait)} "
            f"(in {duration(throttled.wait)}), longer than {limit} s. Resume then, or raise API_WAIT_LIMIT."
        )


def _clock(seconds: float) -> str:
    """Return the time of day in so many seconds, in UTC, with its date if that is another day."""
    now = time.time()
    then = datetime.fromtimestamp(now + seconds, timezone.utc)
    is_today = then.date() == datetime.fromtimestamp(now, timezone.utc).date()
    return f"{then:%H:%M:%S} UTC" if is_today else f"{then:%Y-%m-%d %H:%M:%S} UTC"
