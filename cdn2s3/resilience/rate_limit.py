"""Rate limits: API requests per second, bytes per second."""

from __future__ import annotations

import threading
import time
from typing import Callable

_CATCH_UP = 0.1  # seconds; delays by waits and scheduling are made up for, up to this
_LOOK_EVERY = 0.5  # seconds between two looks at the stop flag


class Bandwidth:
    """Limit the rate of downloads by spacing their starts; shared by all workers.

    A download is admitted when those before it have had their time: that of their real size where it is known,
    else of the usual one.
    """

    def __init__(self, bytes_a_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        """bytes_a_second 0 means no limit."""
        self._rate = bytes_a_second
        self._clock = clock
        self._first_in_line = threading.Lock()  # one waits for the clock, the others for their turn
        self._lock = threading.Lock()
        self._usual = 390_000.0  # bytes; follows the sizes that are seen
        self._next = clock()

    def set_rate(self, bytes_a_second: float) -> None:
        """Let the limit be another one from the next download on."""
        with self._lock:
            self._rate = bytes_a_second

    def admit(self, stop: threading.Event) -> bool:
        """Wait until the next download may begin; return False when stop was set before."""
        if not self._rate:
            return True
        while not self._first_in_line.acquire(timeout=_LOOK_EVERY):
            if stop.is_set():
                return False
        try:
            while wait := self.due_in():  # sizes that become known meanwhile move it
                if stop.wait(min(wait, _LOOK_EVERY)):
                    return False
            self.begin()
            return True
        finally:
            self._first_in_line.release()

    def due_in(self) -> float:
        """Return the seconds until the next download may begin."""
        with self._lock:
            return max(0.0, self._next - self._clock())

    def begin(self) -> None:
        """Count a download of the usual size. One that begins late makes the next come sooner."""
        with self._lock:
            self._next = max(self._next, self._clock() - _CATCH_UP) + self._usual / self._rate

    def received(self, size: int) -> None:
        """Report the bytes of the body that an admitted download received, whatever its result."""
        if not self._rate:
            return
        with self._lock:
            self._next += (size - self._usual) / self._rate
            if size:
                self._usual += (size - self._usual) / 32


class TokenBucket:
    """Let callers through at a steady rate; share it between threads.

    rate is tokens per second; unused ones are not saved up. `sleep` gets seconds and may return early
    (a stop): the caller has its token anyway.
    """

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._level = 1.0
        self._at = clock()

    def take(self) -> None:
        """Take a token, waiting until the rate allows it."""
        with self._lock:
            now = self._clock()
            self._level = min(1.0, self._level + (now - self._at) * self._rate)
            self._at = now
            self._level -= 1.0
            wait = -self._level / self._rate
        if wait > 0:
            self._sleep(wait)
