"""Memory for bodies, bounded whatever the number of workers and the size of the images.

Each worker keeps one small buffer for good, which fits nearly every image: a fresh one would cost its page
faults each time. Larger ones are leased out of one budget.
"""

from __future__ import annotations

import mmap
import threading

from cdn2s3.errors import MigrationError, Stopped

SMALL = 1 << 20  # bytes of the buffer that each worker keeps
BUDGET = 400_000_000  # bytes of all leased buffers of a run together


class NoRoom(MigrationError):
    """Tell that a body needs size bytes and the budget has not got them now."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class Budget:
    """Count leased bytes; shared by all workers."""

    def __init__(self, total: int, stop: threading.Event) -> None:
        self._free = total
        self._total = total
        self._stop = stop
        self._changed = threading.Condition()

    def take(self, size: int, wait: bool) -> bool:
        """Take size bytes; return False when there are too few and wait is False. Raise Stopped.

        What is larger than the whole budget gets it alone.
        """
        size = min(size, self._total)
        with self._changed:
            while self._free < size:
                if not wait:
                    return False
                if self._stop.is_set():
                    raise Stopped
                self._changed.wait(0.5)
            self._free -= size
            return True

    def give_back(self, size: int) -> None:
        with self._changed:
            self._free += min(size, self._total)
            self._changed.notify_all()


class Room:
    """The buffer of one URL on its way: the worker's own, or a leased one. Use it as a context."""

    _own = threading.local()

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._leased: memoryview | None = None

    def view(self, size: int) -> memoryview:
        """Return a buffer of at least size bytes; raise NoRoom where the budget has not got them now."""
        if size <= SMALL:
            return self._small()
        if self._leased is not None and len(self._leased) >= size:
            return self._leased
        self.release()
        if not self._budget.take(size, wait=False):
            raise NoRoom(size)
        self._leased = _buffer(size)
        return self._leased

    def wait_for(self, size: int) -> None:
        """Wait until size bytes are leased to this URL; raise Stopped."""
        self.release()
        self._budget.take(size, wait=True)
        self._leased = _buffer(size)

    def _small(self) -> memoryview:
        view: memoryview | None = getattr(self._own, "view", None)
        if view is None:
            view = self._own.view = _buffer(SMALL)
        return view

    def release(self) -> None:
        """Give a leased buffer back."""
        if self._leased is not None:
            size, self._leased = len(self._leased), None
            self._budget.give_back(size)

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


def _buffer(size: int) -> memoryview:
    """Return size bytes of memory, of which only what is written to is really taken (a bytearray fills it)."""
    return memoryview(mmap.mmap(-1, size))
