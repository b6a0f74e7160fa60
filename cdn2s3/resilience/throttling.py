"""Throttling: which answers mean it, and how long the URL that got one waits.

An endpoint that throttles works: its limit is found by AdaptiveRate, and no URL fails for it while others wait as
well. A URL that is refused again and again while others get through is the exception: it fails.
"""

from __future__ import annotations

import re
import time
from typing import Callable

from cdn2s3.errors import PermanentError, TransientError
from cdn2s3.resilience import retry
from cdn2s3.text import duration

# Error codes of S3 and of what speaks S3. Sources: S3 API Reference, "Error responses"; botocore's own list
# (retries/standard.py, ThrottledRetryableChecker); MinIO (Busy, SlowDownRead, SlowDownWrite); Alibaba OSS, "HTTP 503"
# (the …LimitExceeded). ServiceUnavailable is not among them: it says that the service is down.
THROTTLING_CODES = frozenset({
    "SlowDown", "SlowDownRead", "SlowDownWrite", "Busy", "ServerBusy", "TooManyRequests", "TooManyRequestsException",
    "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
    "RequestLimitExceeded", "BandwidthLimitExceeded", "QpsLimitExceeded", "TotalQpsLimitExceeded",
    "UploadTrafficRateLimitExceeded", "DownloadTrafficRateLimitExceeded",
})  # fmt: skip

LEAST_REFUSALS = (
    8  # in a row before a URL fails: with one attempt in three refused, one URL in 6,000 gets so far
)
_CODE = re.compile(rb"<Code>([A-Za-z0-9_.]{1,80})</Code>")


def code_in(body: bytes) -> str:
    """Return the error code in the XML body of a response, or "" if it has none (a HEAD, a middlebox).

    A CDN in front of a bucket passes the bucket's answers on.
    """
    found = _CODE.search(body)
    return found[1].decode("ascii") if found else ""


def is_throttled(status: int, code: str, retry_after: float | None) -> bool:
    """Return whether a response means that requests come too fast; a 503 that says no more may mean anything."""
    return code in THROTTLING_CODES or status == 429 or (status == 503 and retry_after is not None)


def longest_wait(limit: float) -> float:
    """Return the most seconds between two attempts, so that there are several before limit is over."""
    return min(retry.LONGEST_WAIT, limit / LEAST_REFUSALS)


class Refusals:
    """The attempts of one URL at one endpoint that were throttled, one after the other; for one thread."""

    def __init__(self, limit: float, clock: Callable[[], float] = time.monotonic) -> None:
        """limit is the seconds after which the URL fails if others get through meanwhile (OUTAGE_LIMIT)."""
        self._limit = limit
        self._clock = clock
        self._count = 0  # those since whose predecessor others have got through
        self._refused_for = 0.0  # seconds, likewise
        self._refused_at = 0.0
        self._newest = 0  # number of the endpoint's newest attempt at that time

    def wait(self, endpoint: str, error: TransientError, newest_attempt: int, newest_success: int) -> float:
        """Count a refusal and return the seconds until the URL's next attempt.

        The wait is the longer of the backoff and the server's Retry-After. While nothing gets through, the backoff
        does not grow: the endpoint's rate spaces the attempts. newest_attempt and newest_success are the numbers of
        the endpoint's. Raise PermanentError (throttled) when the URL alone has been refused for the limit.
        """
        now = self._clock()
        if not self._count:
            self._count = 1
        elif newest_success > self._newest:
            self._count += 1
            self._refused_for += now - self._refused_at
        self._refused_at, self._newest = now, newest_attempt
        if self._count >= LEAST_REFUSALS and self._refused_for >= self._limit:
            raise PermanentError(
                "throttled",
                f"the {endpoint} refused it {self._count} times in {duration(self._refused_for)} while others got "
                f"through: {error.message}",
                status=error.status,
            )
        backoff = min(retry.backoff(self._count), longest_wait(self._limit))
        return max(backoff, min(error.retry_after or 0.0, retry.LONGEST_WAIT))
