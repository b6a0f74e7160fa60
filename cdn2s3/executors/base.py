"""The contract of an executor, the queue that feeds its workers, and the transfers in flight."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Callable, NamedTuple, Protocol

from cdn2s3.executors.parking import Parking
from cdn2s3.records import Task
from cdn2s3.resilience.endpoint import Endpoint
from cdn2s3.state.ledger import Completed, Failed
from cdn2s3.transfer.limiting import Limiting
from cdn2s3.transfer.outcome import Done

TICK = 0.05  # seconds between two looks at what the workers have done

_LOOK_EVERY = 0.2  # seconds between two looks whether a source is available again
_QUIET = 2.0  # seconds without a new task after which an open queue has nothing else left

_SHOWN = 3  # of the slowest
_SLOW = 5.0  # seconds after which a transfer is reported as slow


class Executor(Protocol):
    """What runs the transfers of a run: the threads of this process, or those of several."""

    def run(self, tasks: Iterator[Task]) -> Generator[list[Done], None, None]:
        """Move tasks; yield what is done and recorded every TICK, even if that is nothing.

        Called from the main thread, once a pass. Raise FatalError after all workers have ended. When the
        generator is closed, it lets all workers end.
        """

    def stop(self) -> None:
        """Let no worker start anything else; downloads are dropped, uploads end."""

    def limiting(self) -> list[Limiting]:
        """Return what limits the run at the moment, of each process."""

    def in_flight(self) -> InFlight:
        """Return what is in flight at the moment."""


class Recorder(Protocol):
    """What keeps the results of transfers: the ledger of a run."""

    def record(self, record: Completed | Failed) -> None:
        """Keep record; raise FatalError unless that succeeds."""


class TaskQueue:
    """Hand out tasks one by one to any number of threads: what was requeued first, then the list.

    An open queue waits for more to be requeued until it is closed; a closed one ends with its list. Where a run has
    several sources or destinations, a task of one that is not available is parked, and handed out again before all
    others as soon as it is; a queue does not end before its parking is empty.
    """

    def __init__(self, tasks: Iterable[Task] = (), is_open: bool = False) -> None:
        self._tasks = iter(tasks)
        self._requeued: deque[Task] = deque()
        self._is_open = is_open
        self._has_ended = False  # the list
        self._parking: Parking | None = None
        self._stop = threading.Event()
        self._busy: set[int] = set()  # threads that have a task
        self._handed_out_at = time.monotonic()  # the last task that was not parked
        self._changed = threading.Condition()

    def __iter__(self) -> Iterator[Task]:
        return self

    def __next__(self) -> Task:
        with self._changed:
            if self._parking is None:
                return self._next()
            me = threading.get_ident()
            self._busy.discard(me)
            task = self._next_with(self._parking)
            self._busy.add(me)
            return task

    def _next(self) -> Task:
        while True:
            if self._requeued:
                return self._requeued.popleft()
            if not self._is_open:
                return next(self._tasks)
            self._changed.wait()

    def _next_with(self, parking: Parking) -> Task:
        """Return the next task; wait while there are parked ones alone. Raise StopIteration, or FatalError."""
        while not self._stop.is_set():
            task = parking.take() if parking else None
            if task is not None:
                return task
            if self._requeued or not (self._is_open or self._has_ended):
                try:
                    task = self._requeued.popleft() if self._requeued else next(self._tasks)
                except StopIteration:
                    self._has_ended = True
                    continue
                self._handed_out_at = time.monotonic()
                return task
            if not parking and not self._is_open:
                break
            quiet = time.monotonic() - self._handed_out_at
            if not self._busy and (not self._is_open or quiet > _QUIET):
                parking.check_outage_limit()
            self._changed.wait(_LOOK_EVERY)
        raise StopIteration

    def park_at(self, endpoints: Sequence[Endpoint], stop: threading.Event) -> None:
        """Park tasks of endpoints that are not available; stop ends the waiting for them."""
        with self._changed:
            self._parking = self._parking or Parking(endpoints)
            self._stop = stop

    def park(self, task: Task, endpoint: int) -> None:
        """Put task aside until the endpoint with that number is available."""
        with self._changed:
            assert self._parking is not None
            self._parking.put(task, endpoint)

    @property
    def parked(self) -> int:
        """How many tasks are parked."""
        with self._changed:
            return 0 if self._parking is None else len(self._parking)

    def requeue(self, *tasks: Task) -> None:
        """Hand tasks out before all others."""
        with self._changed:
            self._requeued.extend(tasks)
            self._changed.notify(len(tasks))

    def close(self) -> None:
        """Close the queue: it ends when it is empty."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()

    @property
    def has_more(self) -> bool:
        """Return whether something has been requeued or parked that nobody has taken yet."""
        return bool(self._requeued) or self.parked > 0


class InFlight(NamedTuple):
    """What is in flight at the moment."""

    uploads: int = 0  # uploads in flight
    slowest: tuple[tuple[float, str], ...] = ()  # seconds and URL of those over _SLOW, the slowest first

    def __str__(self) -> str:
        """Return the slow transfers as text, "" for none."""
        return ", ".join(f"{seconds:.0f} s {_name(url)}" for seconds, url in self.slowest)


def together(parts: Iterable[InFlight]) -> InFlight:
    """Add up what is in flight in several processes."""
    parts = list(parts)
    slowest = sorted((one for part in parts for one in part.slowest), reverse=True)
    return InFlight(sum(part.uploads for part in parts), tuple(slowest[:_SHOWN]))


class TransferTimes:
    """When each transfer began; a worker begins and ends its own, any thread may look."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began: dict[str, float] = {}

    def begin(self, url: str) -> None:
        self._began[url] = self._clock()

    def end(self, url: str) -> None:
        self._began.pop(url, None)

    def slowest(self) -> tuple[tuple[float, str], ...]:
        """Return what InFlight.slowest holds."""
        now = self._clock()
        # A copy is one step: workers begin and end meanwhile.
        slow = ((now - began, url) for url, began in self._began.copy().items() if now - began >= _SLOW)
        return tuple(sorted(slow, reverse=True)[:_SHOWN])


def _name(url: str) -> str:
    """Return the end of a URL's path, which distinguishes images."""
    path = url.partition("?")[0].partition("#")[0]
    return "/".join(path.rstrip("/").rsplit("/", 2)[-2:])
