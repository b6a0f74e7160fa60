"""Attempts at the bucket: with the run's one layer of retries, its limits and its circuit breaker."""

from __future__ import annotations

import threading
from typing import Callable, TypeVar

from cdn2s3.errors import OUTAGE_CAUSES, PermanentError, TransientError
from cdn2s3.resilience.endpoint import Endpoint
from cdn2s3.resilience.retry import RetryPolicy, unless_stopped, with_retries
from cdn2s3.resilience.throttling import Refusals

Returned = TypeVar("Returned")


class Attempts:
    """Make attempts at one endpoint; shared by all workers."""

    def __init__(self, endpoint: Endpoint, max_retries: int, stop: threading.Event) -> None:
        self.endpoint = endpoint
        self._policy = RetryPolicy(
            max_retries, honors_retry_after=False
        )  # the endpoint honors it, for all workers
        self._sleep = unless_stopped(stop)

    def until_done(self, attempt: Callable[[], Returned]) -> Returned:
        """Return the result of attempt, made again as MAX_RETRIES allows; raise the last TransientError.

        An outage excuses what failed before its end. Raise PermanentError, Cancelled or FatalError as attempt does.
        """
        refusals, outages = Refusals(self.endpoint.outage_limit), self.endpoint.outages

        def outage_has_ended() -> bool:
            nonlocal outages
            before, outages = outages, self.endpoint.outages
            return outages != before

        def excuse(error: TransientError) -> float | None:
            if error.cause != "throttled":
                return None
            at = self.endpoint
            return refusals.wait(at.name, error, at.newest_attempt, at.newest_success)

        return with_retries(
            lambda: self._once(attempt),
            self._policy,
            self._sleep,
            resets_count=outage_has_ended,
            excuse=excuse,
        )

    def _once(self, attempt: Callable[[], Returned]) -> Returned:
        permit = self.endpoint.acquire()
        try:
            returned = attempt()
        except PermanentError as error:
            if error.doubtful:
                self.endpoint.failed(permit, error)
            else:
                self.endpoint.succeeded(permit)
            raise
        except TransientError as error:
            if error.cause in OUTAGE_CAUSES:
                self.endpoint.failed(permit, error)
            else:
                self.endpoint.release(permit)
            raise
        except BaseException:
            self.endpoint.release(permit)
            raise
        self.endpoint.succeeded(permit)
        return returned
