"""Retry: the one loop that repeats attempts, and the one rule for the wait between them.

The wait is the longer of the backoff and the server's Retry-After, which retry_after() limits.
"""

from __future__ import annotations

import random
import threading
import time
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Callable, NamedTuple, TypeVar

from cdn2s3.errors import Cancelled, TransientError

LONGEST_WAIT = 60.0  # seconds; a server that asks for a day is contacted again after a minute

Returned = TypeVar("Returned")


class RetryPolicy(NamedTuple):
    """How often an operation is tried, and whether a server may delay it."""

    max_retries: int  # retries after the first attempt
    honors_retry_after: bool = True  # False: somebody else does

    @property
    def max_attempts(self) -> int:
        return self.max_retries + 1

    def wait(self, failures: int, asked: float | None) -> float:
        """Return the seconds from the failures-th failure to the next attempt; asked is the Retry-After."""
        return max(backoff(failures), asked if asked and self.honors_retry_after else 0.0)


class FailedAttempt(NamedTuple):
    """An attempt that has failed."""

    error: TransientError
    failures: int  # attempts that have failed so far, this one included
    wait: float | None  # seconds until the next attempt; None: this was the last one


def ignore(failed: FailedAttempt) -> None:
    """Do nothing about a failed attempt."""


def with_retries(
    attempt: Callable[[], Returned],
    policy: RetryPolicy,
    sleep: Callable[[float], object] = time.sleep,
    on_failure: Callable[[FailedAttempt], object] = ignore,
    resets_count: Callable[[], bool] = lambda: False,
    excuse: Callable[[TransientError], float | None] = lambda error: None,
) -> Returned:
    """Return the result of attempt, retried after a TransientError as policy allows; raise the last one.

    sleep gets the seconds to the next attempt and may raise, which ends it all (a stop); on_failure is called
    after each failure, before the wait. resets_count is asked after each failure, too: where it says True, what
    failed before does not count (an outage has ended since). excuse is asked first: where it returns seconds, the
    failure does not count, and the next attempt is made after them. What else attempt, or excuse, raises passes
    through.
    """
    failures = 0
    while True:
        try:
            return attempt()
        except TransientError as error:
            wait = excuse(error)
            if wait is None:
                failures = 1 if resets_count() else failures + 1
                is_last = failures > policy.max_retries
                wait = None if is_last else policy.wait(failures, error.retry_after)
                on_failure(FailedAttempt(error, failures, wait))
                if wait is None:
                    raise
        sleep(wait)


def unless_stopped(stop: threading.Event) -> Callable[[float], None]:
    """Return a sleep that a stop ends: it raises Cancelled as soon as stop is set."""

    def sleep(seconds: float) -> None:
        if stop.wait(seconds):
            raise Cancelled

    return sleep


def backoff(failures: int, draw: Callable[[], float] = random.random) -> float:
    """Return the seconds to wait after the failures-th failure in a row (from 1): 1, 2, 4 … up to 60.

    The jitter removes up to half of it, so that workers that failed together do not return together.
    """
    wait = min(LONGEST_WAIT, 2.0 ** min(failures - 1, 10))  # an outage counts thousands of failures
    return wait * (1 - draw() / 2)


def retry_after(header: str | None, now: float) -> float | None:
    """Return the seconds to honor of a Retry-After header, 0 to LONGEST_WAIT; None when absent or garbage.

    header is a number of seconds or an HTTP date (RFC 9110, 10.2.3); now is in seconds since the epoch.
    """
    if header is None:
        return None
    header = header.strip()
    if header.isascii() and header.isdigit():
        return min(LONGEST_WAIT, float(header))
    try:
        date = parsedate_to_datetime(header)
        if date.tzinfo is None:  # the old asctime form names no zone: HTTP dates are in UTC
            date = date.replace(tzinfo=timezone.utc)
        asked = date.timestamp() - now
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return min(LONGEST_WAIT, max(0.0, asked))
