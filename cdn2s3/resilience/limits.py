"""What limits the attempts at an endpoint that works: how many at once, how many a second, not before when."""

from __future__ import annotations

from cdn2s3.resilience.adaptive_rate import SECOND, AdaptiveRate
from cdn2s3.resilience.concurrency_limiter import ConcurrencyLimiter

_LOOK_EVERY = 0.5  # seconds after which to look again whether there is room


class EndpointLimits:
    """A ConcurrencyLimiter and, from the first throttled attempt on, an AdaptiveRate.

    An outage leaves the rate as it is. Points in time are those of one monotonic clock, in seconds. Not thread-safe:
    its owner holds a lock.
    """

    def __init__(self, workers: int) -> None:
        self.concurrency = ConcurrencyLimiter(workers)
        self.rate: AdaptiveRate | None = None  # None: the endpoint does not throttle
        self.refusing_since: float | None = None  # the first throttled attempt since one got through
        self._asked_at = 0.0  # when a probe was last let through while it refuses everything
        self._this_second = self._last_second = 0  # attempts that began
        self._second_ends = 0.0

    # --- the queue

    def wait(self, place: int | None, now: float) -> float:
        """Return the seconds until the attempt with this place in the queue may begin; 0 or less: now."""
        pause = self.concurrency.pause_left(now)
        if pause > 0:
            return pause
        if not self.concurrency.has_room:
            return _LOOK_EVERY
        return 0.0 if self.rate is None else self.rate.due_in(place, now)

    def queue(self, place: int | None, now: float) -> int | None:
        """Return the place in the queue of an attempt that has to wait: place, if it has one, else a new one."""
        return place if place is not None or self.rate is None else self.rate.queue(now)

    def leave(self, place: int | None) -> None:
        """Give place back without an attempt."""
        if place is not None and self.rate is not None:
            self.rate.leave()

    def begin(self, place: int | None, now: float) -> None:
        """Note that an attempt begins, which had this place in the queue."""
        self.concurrency.in_flight += 1
        if now >= self._second_ends:
            self._last_second = self._this_second if now < self._second_ends + SECOND else 0
            self._this_second, self._second_ends = 0, now + SECOND
        self._this_second += 1
        if self.rate is not None:
            if self.rate.is_unused(now):
                self.rate = None
            else:
                self.rate.begin(place, now)

    # --- the results

    def succeeded(self, began_at: float, now: float) -> bool:
        """Count an attempt that got through; return whether waiting ones may begin earlier than they expect."""
        self.refusing_since = None
        if self.rate is not None:
            self.rate.succeeded(began_at, now)
        return self.concurrency.succeeded()

    def throttled(self, began_at: float, retry_after: float | None, now: float) -> bool:
        """Count an attempt that was throttled; return whether it is the first of all.

        A Retry-After is for the attempt's URL while others get through, and for everybody while nothing does.
        """
        if self.refusing_since is None:
            self.refusing_since = now
        if self.rate is None:
            self.rate = AdaptiveRate(self._begun_lately(now), now)
            return True
        if self.rate.throttled(began_at, now) and retry_after:
            self.concurrency.pause(now, retry_after)
        return False

    def _begun_lately(self, now: float) -> int:
        """Return how many attempts began within about a second before now."""
        left = min(1.0, max(0.0, (self._second_ends - now) / SECOND))
        return max(1, self._this_second + round(left * self._last_second))

    def restart(self) -> None:
        """Begin again with fewer workers, after an outage."""
        self.concurrency.restart()
        self.refusing_since = None

    def begin_probe(self, now: float, interval: float) -> bool:
        """Return whether to probe now: everything has been throttled for interval seconds, or since the last probe."""
        if self.refusing_since is None or now - max(self.refusing_since, self._asked_at) < interval:
            return False
        self._asked_at = now
        return True

    # --- for people

    def allowed(self, now: float) -> float | None:
        """Return the attempts a second that got through lately; None unless it is throttling that limits them."""
        return None if self.rate is None else self.rate.allowed(now)

    def refusing_for(self, now: float) -> float | None:
        """Return the seconds for which every attempt has been throttled; None when one got through."""
        return None if self.refusing_since is None else now - self.refusing_since
