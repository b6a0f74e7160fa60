"""Stop in good order: the first SIGINT or SIGTERM is noted, the second one ends the process at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType, TracebackType

from cdn2s3.errors import Stopped

SLICE = 0.2  # seconds; the most that a stop is noticed late in a sleep
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Note the signals that ask for a stop while the block runs; use it from the main thread.

    The handler only sets a flag. The main thread must not wait on `event` (Event.wait and the handler's
    Event.set would want the same lock): it asks `event.is_set()`, and sleeps through `sleep`.
    """

    def __init__(self) -> None:
        self.event = threading.Event()
        self.signum: int | None = None  # the signal that came; None: none so far

    def __enter__(self) -> StopSignals:
        self._before = [(number, signal.signal(number, self._note)) for number in _SIGNALS]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            os._exit(128 + signum)
        self.signum = signum
        self.event.set()

    def check(self) -> None:
        """Raise Stopped when a signal has come."""
        if self.event.is_set():
            raise Stopped

    def sleep(self, seconds: float) -> None:
        """Sleep; raise Stopped as soon as a signal has come."""
        until = time.monotonic() + seconds
        while True:
            self.check()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(SLICE, left))
