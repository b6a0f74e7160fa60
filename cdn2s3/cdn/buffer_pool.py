"""The memory for bodies, bounded whatever the number of workers and the size of the images.

Each worker keeps one small buffer permanently, which fits nearly every image. Larger ones are leased from one
budget and reused: fresh memory costs a page fault for each 4 KB, on some machines more than the bytes do.
"""

from __future__ import annotations

import math
import mmap
import threading
import time
from contextlib import suppress
from typing import Callable, TypeVar

from cdn2s3.errors import Cancelled, MigrationError

Returned = TypeVar("Returned")

SMALL = 1 << 20  # bytes of the buffer that each worker keeps; leased ones are multiples of it
POOL_BYTES = 400_000_000  # total bytes of all buffers of a run that are leased, or kept for reuse
_HUGE_PAGE = 1 << 21  # bytes; if Linux has them


class BufferExhausted(MigrationError):
    """A body needs size bytes, and the budget does not have them now."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class BufferPool:
    """Lease buffers of total bytes at most, including returned ones; shared by all workers."""

    def __init__(self, total: int, stop: threading.Event) -> None:
        self._total = total
        self._free = total  # bytes that are neither leased nor kept
        self._kept: list[memoryview] = []  # returned, for reuse
        self._stop = stop
        self._changed = threading.Condition()

    def acquire(self, size: int, wait: bool, patience: float = 0.0) -> memoryview | None:
        """Return a buffer of at least size bytes; None if wait is False and there is no room for patience seconds.

        Raise Cancelled where it had to wait.
        A request larger than the whole budget gets all of it, alone.
        """
        until = time.monotonic() + (math.inf if wait else patience)
        with self._changed:
            while (found := self._found(size)) is None:
                left = until - time.monotonic()
                if left <= 0:
                    return None
                if self._stop.is_set():
                    raise Cancelled
                self._changed.wait(min(0.5, left))
        return found

    def _found(self, size: int) -> memoryview | None:
        """Return a kept buffer that fits well, or a new one in place of kept ones; None if there is no room."""
        fitting = [view for view in self._kept if size <= len(view) <= 2 * size]
        if fitting:
            best = min(fitting, key=len)
            self._kept.remove(best)
            return best
        cost = min(size, self._total)
        if self._free + sum(map(self._cost, self._kept)) < cost:
            return None
        while self._free < cost:
            self._free += self._cost(self._kept.pop(0))
        self._free -= cost
        return _buffer(size)

    def release(self, view: memoryview) -> None:
        """Keep a returned buffer for reuse."""
        with self._changed:
            self._kept.append(view)
            self._changed.notify_all()

    def _cost(self, view: memoryview) -> int:
        return min(len(view), self._total)


class BufferLease:
    """The buffer of one URL: the worker's own, or a leased one. Use it as a context manager."""

    _own = threading.local()

    def __init__(self, pool: BufferPool) -> None:
        self._pool = pool
        self._leased: memoryview | None = None

    def view(self, size: int, patience: float = 0.0) -> memoryview:
        """Return a buffer of at least size bytes.

        Raise BufferExhausted if the budget does not have them within patience seconds; Cancelled meanwhile.
        """
        if size <= SMALL:
            return self._small()
        if self._leased is not None and len(self._leased) >= size:
            return self._leased
        self.release()
        self._leased = self._pool.acquire(_rounded(size), wait=False, patience=patience)
        if self._leased is None:
            raise BufferExhausted(size)
        return self._leased

    def when_free(self, attempt: Callable[[], Returned]) -> Returned:
        """Return what attempt returns; each time it raises BufferExhausted, wait for the memory and try again."""
        while True:
            try:
                return attempt()
            except BufferExhausted as error:
                size = error.size
            self.wait_for(size)

    def wait_for(self, size: int) -> None:
        """Wait until size bytes are leased to this URL; raise Cancelled."""
        self.release()
        self._leased = self._pool.acquire(_rounded(size), wait=True)

    def _small(self) -> memoryview:
        view: memoryview | None = getattr(self._own, "view", None)
        if view is None:
            view = self._own.view = _buffer(SMALL)
        return view

    def release(self) -> None:
        """Return a leased buffer."""
        if self._leased is not None:
            leased, self._leased = self._leased, None
            self._pool.release(leased)

    def __enter__(self) -> BufferLease:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


def _rounded(size: int) -> int:
    """Return the buffer size for size bytes: there are few different ones, so that buffers can be reused."""
    return -(-size // SMALL) * SMALL


def _buffer(size: int) -> memoryview:
    """Return size bytes of memory that is allocated only as it is written (a bytearray would fill it)."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if size >= _HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without huge pages
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)
