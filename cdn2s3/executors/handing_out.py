"""What every executor does whose workers are in other processes: hand out tasks, hear reports, pass on orders.

A line leads to each process: a pipe on this machine (process_pool.py), queues of a Dask cluster (cluster.py). Each
process gets tasks as it goes, so one that dies leaves only its current tasks, and another takes them over.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Callable, Generic, NamedTuple, Protocol, TypeVar

from cdn2s3.errors import FatalError
from cdn2s3.executors.base import InFlight, TaskQueue, together
from cdn2s3.records import Task
from cdn2s3.transfer.limiting import Limiting
from cdn2s3.transfer.outcome import Done

log = logging.getLogger(__name__)

AHEAD = 4  # tasks handed to a process for each of its workers: a tick's worth and more


class LogRecord(NamedTuple):
    """A log record of a process, for the parent's log."""

    level: int
    message: str
    identity: tuple[str, int, str]  # the logger, the line of code, and the first argument: what it is about


class Report(NamedTuple):
    """A report of a process to its parent."""

    done: list[Done]
    limiting: list[Limiting]  # what limits it
    records: list[LogRecord]
    in_flight: InFlight = InFlight()
    held: int = 0  # tasks whose failure is deferred: not reported, and nobody is working on them
    error: tuple[str, int] | None = None  # message and exit code of what stopped it


class Line(Protocol):
    """What leads to a process."""

    def send(self, order: object) -> None:
        """Send tasks (a list), "stop" (drop downloads, end uploads, end) or None (there are no more: end after these).

        Raise OSError where the process has ended.
        """


class WorkerHandle:
    """The parent's handle on one process."""

    def __init__(self, line: Line, number: int, workers: int) -> None:
        """number is which process of its machine it is, from 0; workers is how many threads it has at most."""
        self.number = number
        self.tasks: dict[str, Task] = {}  # handed out and not reported
        self.limiting: list[Limiting] = []
        self.in_flight = InFlight()
        self.held = 0
        self.warned: Counter[tuple[str, int, str]] = Counter()  # how often it gave each warning
        self.end_was_sent = False
        self.workers = workers
        self.ahead = AHEAD * workers  # tasks that it is to have
        self._line = line

    @property
    def busy(self) -> int:
        """How many tasks the process has to do, without those whose failure is deferred."""
        return len(self.tasks) - self.held

    @property
    def takes_tasks(self) -> bool:
        """Whether it may get tasks: one that was told the end takes nothing more."""
        return not self.end_was_sent

    def take(self, queue: TaskQueue, most: int) -> bool:
        """Hand out up to most tasks; return False when there was none."""
        tasks = [task for _, task in zip(range(most), queue)]
        if tasks:
            self.tasks.update((task.url, task) for task in tasks)
            self.send(tasks)
        return bool(tasks)

    def send(self, order: object) -> None:
        """Send an order once; a process that has already ended is noticed when its report is awaited."""
        if order is None and self.end_was_sent:
            return
        self.end_was_sent = self.end_was_sent or order is None
        try:
            self._line.send(order)
        except OSError:
            log.debug("a worker process has already ended")


Handle = TypeVar("Handle", bound=WorkerHandle)


class HandingOut(Generic[Handle]):
    """Processes that move tasks, as their parent's main thread sees them."""

    def __init__(self) -> None:
        self._handles: list[Handle] = []
        self._error: FatalError | None = None
        self._warned: Counter[tuple[str, int, str]] = Counter()
        self._stopping = False

    def _take_report(self, handle: Handle, report: Report, say: Callable[[str], str] = str) -> list[Done]:
        """Take what a process reports, and return what is done; say makes its words those of the parent's log."""
        for record in report.records:
            if record.level != logging.WARNING or self._is_news(handle, record):
                log.log(record.level, "%s", say(record.message))
        handle.limiting, handle.in_flight, handle.held = report.limiting, report.in_flight, report.held
        for done in report.done:
            handle.tasks.pop(done.task.url, None)
        return report.done

    def _is_news(self, handle: Handle, warning: LogRecord) -> bool:
        """Return whether no other process has given this warning as often: a warning common to all is logged once."""
        what = warning.identity
        handle.warned[what] += 1
        if handle.warned[what] <= self._warned[what]:
            return False
        self._warned[what] += 1
        return True

    def _hand_out(self, queue: TaskQueue) -> None:
        """Give each process enough to do; tell all of them when there is nothing left.

        In turns, a task for each worker at a time: if there is not enough for all, it is shared. What a process
        leaves behind after it was told the end is for a new one.
        """
        takers = needy = [m for m in self._handles if m.takes_tasks and m.busy <= self._ahead(m) // 2]
        try:
            while takers:
                takers = [m for m in takers if m.take(queue, min(m.workers, self._ahead(m) - m.busy))]
        except (
            FatalError
        ) as error:  # the list can no longer be read; reports of what is in flight still count
            self._stop_for(error)
        if needy and not any(handle.busy for handle in self._handles):
            for handle in self._handles:
                handle.send(None)

    def _ahead(self, handle: Handle) -> int:
        return 0 if self._stopping else handle.ahead

    def _stop_for(self, error: FatalError) -> None:
        """Stop, and let run() raise error when all processes have ended."""
        self._error = error
        self.stop()

    def stop(self) -> None:
        """Let all processes drop their downloads, end their uploads and end."""
        self._stopping = True
        for handle in self._handles:
            handle.send("stop")

    def limiting(self) -> list[Limiting]:
        """Return what limits each of the processes, as far as they have reported."""
        return [limit for handle in self._handles for limit in handle.limiting]

    def in_flight(self) -> InFlight:
        """Return what is in flight, as far as the processes have reported."""
        return together(handle.in_flight for handle in self._handles)


def error_of(report: Report) -> FatalError | None:
    """Return what stopped the process of a report, None if nothing did."""
    if report.error is None:
        return None
    error = FatalError(report.error[0])
    error.exit_code = report.error[1]
    return error
