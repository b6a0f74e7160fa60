"""Attempts at one endpoint: reported to it, throttled at its rate, repeated after a failure, excused by an outage."""

from __future__ import annotations

import threading
from typing import Callable, TypeVar

from cdn2s3.errors import OUTAGE_CAUSES, PermanentError, TransientError
from cdn2s3.resilience.endpoint import Endpoint, Permit
from cdn2s3.resilience.retry import RetryPolicy, unless_stopped, with_retries
from cdn2s3.resilience.throttling import Refusals

Returned = TypeVar("Returned")


class Attempts:
    """Make the operations of a run that has one endpoint; shared by all its workers."""

    def __init__(self, endpoint: Endpoint, max_retries: int, stop: threading.Event) -> None:
        self.endpoint = endpoint
        # A Retry-After is honored by the endpoint, which holds all its workers back at once.
        self._policy = RetryPolicy(max_retries, honors_retry_after=False)
        self._sleep = unless_stopped(stop)

    def result_of(self, operation: Callable[[], Returned]) -> Returned:
        """Return what operation does, after as many attempts as are allowed.

        Raise the last TransientError, PermanentError, Cancelled, or FatalError when an outage lasts too long.
        """
        endpoint = self.endpoint
        outages, refusals = endpoint.outages, Refusals(endpoint.outage_limit)

        def resets_count() -> bool:
            nonlocal outages
            before, outages = outages, endpoint.outages
            return outages != before

        def excuse(error: TransientError) -> float | None:
            if error.cause != "throttled":
                return None
            return refusals.wait(endpoint.name, error, endpoint.newest_attempt, endpoint.newest_success)

        return with_retries(
            lambda: self._attempt(operation),
            self._policy,
            self._sleep,
            resets_count=resets_count,
            excuse=excuse,
        )

    def _attempt(self, operation: Callable[[], Returned]) -> Returned:
        permit = self.endpoint.acquire()
        try:
            returned = operation()
        except BaseException as error:
            self._report(permit, error)
            raise
        self.endpoint.succeeded(permit)
        return returned

    def _report(self, permit: Permit, error: BaseException) -> None:
        """Report what error shows of the endpoint: that it failed, that it responded, or nothing."""
        if isinstance(error, PermanentError) and not error.doubtful:
            self.endpoint.succeeded(permit)
        elif isinstance(error, PermanentError) or (
            isinstance(error, TransientError) and error.cause in OUTAGE_CAUSES
        ):
            self.endpoint.failed(permit, error)
        else:
            self.endpoint.release(permit)
