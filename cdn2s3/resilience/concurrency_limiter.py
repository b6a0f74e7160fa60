"""The concurrency limit of an endpoint: halved when it is overloaded (503), then raised step by step."""

from __future__ import annotations

_HALVE_EVERY = 1.0  # seconds; failures of one moment halve once


class ConcurrencyLimiter:
    """Limit the attempts in flight by additive increase and multiplicative decrease.

    Points in time are those of one monotonic clock, in seconds. Not thread-safe: its owner holds a lock.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers  # the most attempts at once
        self.limit = workers  # attempts admitted at once now, from 1 to workers
        self.in_flight = 0
        self._successes = 0  # since the limit changed
        self._halved_at = float("-inf")
        self._paused_until = float("-inf")

    @property
    def is_reduced(self) -> bool:
        """Whether fewer attempts than workers are admitted."""
        return self.limit < self.workers

    @property
    def has_room(self) -> bool:
        """Whether one more attempt may be in flight."""
        return self.in_flight < self.limit

    def pause_left(self, now: float) -> float:
        """Return the seconds for which nothing may begin, because the server asked for it; 0 or less: none."""
        return self._paused_until - now

    def succeeded(self) -> bool:
        """Count a success; raise the limit after as many as it admits. Return whether it was raised."""
        if not self.is_reduced:
            return False
        self._successes += 1
        if self._successes < self.limit:
            return False
        self.limit = min(self.workers, self.limit + max(1, self.workers // 30))
        self._successes = 0
        return True

    def overloaded(self, now: float) -> None:
        """Halve the limit, once a second at most."""
        if now - self._halved_at >= _HALVE_EVERY:
            self.limit = max(1, self.limit // 2)
            self._halved_at, self._successes = now, 0

    def pause(self, now: float, seconds: float) -> None:
        """Let nothing begin for so many seconds."""
        self._paused_until = max(self._paused_until, now + seconds)

    def restart(self) -> None:
        """Begin again with a quarter of the workers, after an outage."""
        self.limit = max(1, self.workers // 4)
        self._successes = 0
        self._paused_until = float("-inf")
