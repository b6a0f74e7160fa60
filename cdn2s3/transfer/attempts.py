"""The attempts of one URL at its source and its destination: repeated, counted, and reported to both endpoints."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Callable, TypeVar

from cdn2s3.cdn.source_headers import WANTS_HEADERS
from cdn2s3.errors import BUCKET_CAUSES, DESTINATION, OUTAGE_CAUSES, Parked, PermanentError, TransientError
from cdn2s3.resilience.endpoint import Endpoint, Permit
from cdn2s3.resilience.retry import FailedAttempt, RetryPolicy, with_retries
from cdn2s3.resilience.throttling import Refusals
from cdn2s3.transfer.outcome import FailureEvidence

log = logging.getLogger(__name__)

Returned = TypeVar("Returned")

_REFUSED = (
    f"It may refuse this machine's address; {WANTS_HEADERS}. Open one URL in a browser, ask the CDN's owner, then "
    "run it again."
)


class _PartsFailedError(Exception):
    """Carry a failure of the download through the upload that takes its parts."""

    def __init__(self, error: TransientError) -> None:
        super().__init__(error)
        self.error = error


class _Throttled(TransientError):
    """An attempt was throttled, by endpoint: it does not count."""

    def __init__(self, endpoint: Endpoint, error: TransientError) -> None:
        super().__init__(error.cause, error.message, error.retry_after, error.status, error.code)
        self.endpoint = endpoint


class Attempts:
    """What the attempts of one URL share, in one worker."""

    def __init__(
        self,
        url: str,
        source: Endpoint,
        bucket: Endpoint,
        retry: RetryPolicy,
        sleep: Callable[[float], None],
    ) -> None:
        self._url = url
        self._source = source
        self._bucket = bucket
        self._retry = retry
        self._sleep = sleep
        # Failed attempts to download and to upload, without those that an outage excuses.
        names = [source.name, bucket.name]
        self._failures = dict.fromkeys(names, 0)
        self._retried: list[str] = []  # causes of the attempts that were retried
        self._seconds = dict.fromkeys(names, 0.0)  # of the latest attempt at each endpoint
        self._started_after = dict.fromkeys(names, 0)  # each endpoint's newest attempt before our first

    def _endpoint_of(self, error: TransientError | PermanentError) -> Endpoint:
        """Return the endpoint that error is of."""
        return self._bucket if error.cause in BUCKET_CAUSES else self._source

    def _evidence(self, endpoint: Endpoint, started_after: int) -> FailureEvidence:
        return FailureEvidence(endpoint.name, endpoint.health(), started_after)

    def _retrying(self, endpoint: Endpoint, attempt: Callable[[], Returned]) -> Returned:
        """Make attempts until one succeeds; raise the TransientError of the last one that is allowed.

        An outage of either endpoint excuses the failures before its end.
        """
        outages = self._outages
        for either in (self._source, self._bucket):
            self._started_after[either.name] = either.newest_attempt

        def resets_count() -> bool:
            nonlocal outages
            before, outages = outages, self._outages
            return outages != before

        def note(failed: FailedAttempt) -> None:
            self._failures[endpoint.name] = failed.failures
            if failed.wait is not None:
                error = failed.error
                self._retried.append(error.cause)
                log.debug(
                    "%s: attempt %d failed (%s: %s)", self._url, failed.failures, error.cause, error.message
                )

        refusals: dict[str, Refusals] = {}  # by endpoint

        def excuse(error: TransientError) -> float | None:
            if not isinstance(error, _Throttled):
                return None
            self._retried.append(error.cause)
            by = error.endpoint
            if by.parks and by.lets_nothing_through:
                raise Parked(by.name)
            known = refusals.setdefault(by.name, Refusals(by.outage_limit))
            return known.wait(by.name, error, by.newest_attempt, by.newest_success)

        return with_retries(attempt, self._retry, self._sleep, note, resets_count, excuse)

    @property
    def _outages(self) -> int:
        return self._source.outages + self._bucket.outages

    def _attempt_at_bucket(self, attempt: Callable[[], Returned]) -> Returned:
        """Make one attempt at the bucket; a failure of it, whatever it is, has the cause `destination`."""
        try:
            return self._attempt_once(self._bucket, attempt)
        except _PartsFailedError as carried:
            raise carried.error from carried
        except _Throttled:
            raise
        except TransientError as error:
            raise TransientError(
                DESTINATION, error.message, error.retry_after, error.status, error.code
            ) from error

    def _attempt_once(self, endpoint: Endpoint, attempt: Callable[[], Returned]) -> Returned:
        """Make one attempt, and report its result to endpoint."""
        permit = endpoint.acquire()
        began = time.monotonic()
        try:
            returned = attempt()
        except _Throttled:  # by the other endpoint, which takes the parts of the body
            endpoint.release(permit)
            raise
        except BaseException as error:
            is_to_blame = isinstance(error, PermanentError) and self._endpoint_of(error) is endpoint
            _report_failure(endpoint, permit, error, is_to_blame)
            if isinstance(error, TransientError) and error.cause == "throttled":
                raise _Throttled(endpoint, error) from error
            raise
        endpoint.succeeded(permit)
        self._seconds[endpoint.name] = time.monotonic() - began
        return returned


def _report_failure(endpoint: Endpoint, permit: Permit, error: BaseException, is_to_blame: bool) -> None:
    """Report to endpoint what error shows about it: that it failed, that it responded, or nothing.

    is_to_blame is False where a refusal is the other endpoint's: a source whose body the bucket refuses in parts.
    """
    if isinstance(error, PermanentError):
        if error.doubtful and is_to_blame:
            said = error.remedy or (_REFUSED if error.cause == "forbidden" else "")
            endpoint.failed(permit, error, said, waiting_helps=not error.remedy)
        else:
            endpoint.succeeded(permit)
    elif isinstance(error, TransientError) and error.cause in OUTAGE_CAUSES:
        endpoint.failed(permit, error)
    else:
        endpoint.release(permit)


def marked(parts: Iterator[memoryview]) -> Iterator[memoryview]:
    """Yield parts; let what fails in them pass through the upload unmistaken for a failure of the bucket."""
    try:
        yield from parts
    except TransientError as error:
        raise _PartsFailedError(error) from error
