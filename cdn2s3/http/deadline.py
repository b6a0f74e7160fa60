"""The deadline of a wait: a point in time, or a stop of the run."""

from __future__ import annotations

import threading
import time

from cdn2s3.errors import Cancelled, TransientError

SLICE = 0.5  # seconds; the longest delay in noticing a deadline or a stop


class Deadline:
    """When to give up: a point in time (`time.monotonic`), or as soon as stop is set (None: never)."""

    __slots__ = ("at", "resent", "stop")

    def __init__(self, seconds: float, stop: threading.Event | None = None) -> None:
        self.at = time.monotonic() + seconds
        self.stop = stop
        self.resent = False  # True: a request was sent twice, as on a kept-alive connection that had died

    def remaining(self) -> float:
        """Return the seconds left, more than 0; raise TransientError (timeout) or Cancelled when there are none."""
        if self.stop is not None and self.stop.is_set():
            raise Cancelled
        left = self.at - time.monotonic()
        if left <= 0:
            raise TransientError("timeout", "no complete response within the time limit")
        return left

    def slice_ms(self) -> int:
        """Return how long one wait may take, in milliseconds: until the deadline, SLICE at most; raise as above."""
        return int(min(SLICE, self.remaining()) * 1000) + 1
